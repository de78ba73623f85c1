defmodule MyApplication.Settings do
  @moduledoc """
  The settings of the app. Each one is an environment variable:

  | name | meaning | default |
  |---|---|---|
  | `PORT` | port to listen on, on 127.0.0.1 | 4000 |
  | `BIND` | address to listen on | 127.0.0.1 |
  | `GREETING` | what `/` says | Hello |
  | `DRAIN_SECONDS` | how long open requests may take after SIGTERM | 30 |
  | `SHOW_ENV` | names that `/env/NAME` may show, with commas or spaces between | none |
  | `FAIL_BOOT` | `1`: stop during boot | |
  | `NEVER_HEALTHY` | `1`: `/ping` answers 503 | |
  | `DIE_AFTER_SECONDS` | exit with status 1 after so long | |
  | `MIGRATIONS_FILE` | where `MyApplication.Release.migrate/0` notes what it did | `$STATE_DIRECTORY/migrations` |
  | `FAIL_MIGRATE` | `1`: the migration fails | |
  """

  @doc "The bytes of an environment variable, exactly as they were set, or nil."
  def env(name) when is_binary(name) do
    # System.get_env/1 would turn each byte above 127 into two if the locale is not UTF-8.
    case :os.getenv(String.to_charlist(name)) do
      false -> nil
      value -> :unicode.characters_to_binary(value, :unicode, :file.native_name_encoding())
    end
  end

  def port, do: number("PORT", 4000, &Integer.parse/1)
  def greeting, do: env("GREETING") || "Hello"
  def drain_milliseconds, do: milliseconds("DRAIN_SECONDS", 30)
  def die_after_milliseconds, do: milliseconds("DIE_AFTER_SECONDS", nil)
  def fail_boot?, do: env("FAIL_BOOT") == "1"
  def never_healthy?, do: env("NEVER_HEALTHY") == "1"
  def fail_migrate?, do: env("FAIL_MIGRATE") == "1"

  @doc "The address to listen on. 127.0.0.1 by default, since Traefik stands on the same host."
  def bind do
    text = env("BIND") || "127.0.0.1"

    case :inet.parse_address(String.to_charlist(text)) do
      {:ok, address} -> address
      {:error, :einval} -> raise ArgumentError, "BIND is #{inspect(text)}, which is not an IP address"
    end
  end

  @doc "Whether `/env/NAME` may show this variable."
  def shown?(name), do: name in String.split(env("SHOW_ENV") || "", [",", " "], trim: true)

  @doc "The file that notes the migrations, or nil. systemd may name several state directories; the first counts."
  def migrations_file do
    case {env("MIGRATIONS_FILE"), env("STATE_DIRECTORY")} do
      {nil, nil} -> nil
      {nil, directories} -> directories |> String.split(":") |> hd() |> Path.join("migrations")
      {file, _} -> file
    end
  end

  defp milliseconds(name, default) do
    case number(name, default, &Float.parse/1) do
      nil -> nil
      seconds -> trunc(seconds * 1000)
    end
  end

  defp number(name, default, parse) do
    text = env(name)

    case text && parse.(text) do
      nil -> default
      {value, ""} when value >= 0 -> value
      _ -> raise ArgumentError, "#{name} is #{inspect(text)}, which is not a number"
    end
  end
end
