defmodule MyApplication.Router do
  @moduledoc "Maps each path to its answer. Pure, except for `/slow`, which sleeps, and for the environment."

  alias MyApplication.Settings

  @longest_sleep_seconds 300

  @doc "The answer to one request, in the form that `MyApplication.Response` takes."
  def answer(method, target, body) do
    uri = URI.parse(target)

    case {method, uri.path} do
      {"POST", "/echo"} -> {200, "application/octet-stream", body}
      {_, "/echo"} -> {405, "POST something to /echo\n"}
      {method, path} when method in ["GET", "HEAD"] -> get(path, uri.query || "")
      _ -> {405, "only GET, HEAD and POST /echo are answered\n"}
    end
  end

  defp get("/", _), do: {200, "#{Settings.greeting()} from my_application #{MyApplication.version()}\n"}
  defp get("/version", _), do: {200, MyApplication.version() <> "\n"}
  defp get("/slow", query), do: slow(query |> URI.decode_query() |> Map.get("seconds", "3") |> Float.parse())
  defp get("/env/" <> name, _), do: show(name)

  defp get("/ping", _) do
    if Settings.never_healthy?(), do: {503, "NEVER_HEALTHY is 1\n"}, else: {200, "pong"}
  end

  defp get(_, _), do: {404, "nothing here\n"}

  defp slow({seconds, ""}) when seconds >= 0 and seconds <= @longest_sleep_seconds do
    Process.sleep(trunc(seconds * 1000))
    {200, "slept #{seconds} s\n"}
  end

  defp slow(_), do: {400, "seconds must be a number from 0 to #{@longest_sleep_seconds}\n"}

  # The answer is the same for a name that may not be shown and for one that is not set.
  defp show(name) do
    case Settings.shown?(name) && Settings.env(name) do
      value when is_binary(value) -> {200, "application/octet-stream", value}
      _ -> {404, "nothing here\n"}
    end
  end
end
