defmodule MyApplication.Release do
  @moduledoc """
  Tasks of a rollout, for `bin/my_application eval`, since a release does not contain Mix:

      bin/my_application eval "MyApplication.Release.migrate()"
  """

  alias MyApplication.Settings

  @doc """
  Takes the place of a database migration: adds version and time to the migrations file, and prints what it did.
  The program ends with status 1 if it failed.
  """
  def migrate do
    case note(Settings.fail_migrate?(), Settings.migrations_file()) do
      {:ok, message} ->
        IO.puts("migrate #{MyApplication.version()}: #{message}")

      {:error, message} ->
        IO.puts(:stderr, "migrate #{MyApplication.version()} failed: #{message}")
        System.halt(1)
    end
  end

  defp note(true, _file), do: {:error, "FAIL_MIGRATE is 1"}
  defp note(false, nil), do: {:ok, "nothing to do, since neither MIGRATIONS_FILE nor STATE_DIRECTORY is set"}

  defp note(false, file) do
    line =
      "#{MyApplication.version()} #{DateTime.utc_now() |> DateTime.truncate(:second) |> DateTime.to_iso8601()}\n"

    case File.write(file, line, [:append]) do
      :ok -> {:ok, "added a line to #{file}"}
      {:error, reason} -> {:error, "cannot write #{file}: #{:file.format_error(reason)}"}
    end
  end
end
