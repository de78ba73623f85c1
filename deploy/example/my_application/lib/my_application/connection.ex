defmodule MyApplication.Connection do
  @moduledoc """
  One HTTP/1.1 connection: reads requests, asks the router, writes answers, stays open for the next.

  Bodies come with a Content-Length; a chunked one is refused with 411. While draining, the request at work is
  answered with `Connection: close`, and an idle connection stays readable for a moment longer, for the
  request that may already be on its way.
  """

  alias MyApplication.{Response, Router}

  @supervisor MyApplication.Connections
  @idle_milliseconds 75_000
  @read_milliseconds 15_000
  @last_request_milliseconds 200
  @linger_milliseconds 1_000
  @longest_body 16 * 1024 * 1024
  @most_headers 100

  @enforce_keys [:socket]
  defstruct [:socket, draining?: false]

  def supervisor, do: @supervisor

  @doc "Gives the socket, which the caller must own, to a process of its own."
  def start(socket) do
    {:ok, pid} =
      Task.Supervisor.start_child(@supervisor, fn ->
        receive do
          :yours -> wait(%__MODULE__{socket: socket}, @idle_milliseconds)
        end
      end)

    case :gen_tcp.controlling_process(socket, pid) do
      :ok -> send(pid, :yours)
      {:error, _} -> Process.exit(pid, :kill)
    end
  end

  @doc "Tells every connection to end after its request."
  def announce_drain do
    for pid <- Task.Supervisor.children(@supervisor), do: send(pid, :drain)
  end

  @doc "Repeats this for new connections; returns when all have ended, or when the time is over."
  def drain(milliseconds) do
    deadline = System.monotonic_time(:millisecond) + milliseconds
    announce_drain()
    references = for pid <- Task.Supervisor.children(@supervisor), do: Process.monitor(pid)
    Enum.each(references, &await_end(&1, deadline))
  end

  defp await_end(reference, deadline) do
    receive do
      {:DOWN, ^reference, :process, _, _} -> :ok
    after
      max(deadline - System.monotonic_time(:millisecond), 0) -> :ok
    end
  end

  # Between two requests the socket is active, so that :drain can end the wait.
  defp wait(connection, milliseconds) do
    case :inet.setopts(connection.socket, active: :once) do
      :ok -> next_request(connection, milliseconds)
      {:error, _} -> :gen_tcp.close(connection.socket)
    end
  end

  defp next_request(%{socket: socket} = connection, milliseconds) do
    receive do
      {:http, ^socket, {:http_request, method, target, version}} ->
        serve(connection, to_string(method), target, version)

      {:http, ^socket, _} ->
        refuse(connection, {400, "this is not an HTTP request\n"})

      {:tcp_closed, ^socket} ->
        :gen_tcp.close(socket)

      {:tcp_error, ^socket, _} ->
        :gen_tcp.close(socket)

      :drain ->
        next_request(%{connection | draining?: true}, @last_request_milliseconds)
    after
      milliseconds -> :gen_tcp.close(socket)
    end
  end

  defp serve(connection, method, target, version) do
    with {:ok, headers} <- read_headers(connection.socket, []),
         {:ok, length} <- body_length(headers),
         :ok <- continue(connection.socket, headers),
         {:ok, body} <- read_body(connection.socket, length) do
      answer = Router.answer(method, path(target), body)
      connection = notice_drain(connection)
      keep? = keep_alive?(version, headers) and not connection.draining?

      case :gen_tcp.send(connection.socket, Response.encode(answer, method, keep?)) do
        :ok when keep? -> wait(connection, @idle_milliseconds)
        _ -> close(connection.socket)
      end
    else
      {:refuse, answer} -> refuse(connection, answer)
      {:error, _} -> :gen_tcp.close(connection.socket)
    end
  end

  defp notice_drain(connection) do
    receive do
      :drain -> %{connection | draining?: true}
    after
      0 -> connection
    end
  end

  defp read_headers(_socket, headers) when length(headers) > @most_headers do
    {:refuse, {431, "more than #{@most_headers} headers\n"}}
  end

  defp read_headers(socket, headers) do
    case :gen_tcp.recv(socket, 0, @read_milliseconds) do
      {:ok, {:http_header, _, name, _, value}} ->
        read_headers(socket, [{name |> to_string() |> String.downcase(), value} | headers])

      {:ok, :http_eoh} ->
        {:ok, headers}

      {:ok, {:http_error, _}} ->
        {:refuse, {400, "this is not a header\n"}}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # Request smuggling uses two different lengths, or a length together with a transfer coding.
  defp body_length(headers) do
    coded? = List.keymember?(headers, "transfer-encoding", 0)

    case Enum.uniq(for {"content-length", value} <- headers, do: value) do
      _ when coded? -> {:refuse, {411, "send a Content-Length instead of a transfer coding\n"}}
      [] -> {:ok, 0}
      [text] -> parse_length(text)
      _ -> {:refuse, {400, "more than one Content-Length\n"}}
    end
  end

  defp parse_length(text) do
    case text =~ ~r/\A[0-9]{1,18}\z/ && String.to_integer(text) do
      false -> {:refuse, {400, "Content-Length is not a number\n"}}
      length when length > @longest_body -> {:refuse, {413, "a body may have #{@longest_body} bytes\n"}}
      length -> {:ok, length}
    end
  end

  defp continue(socket, headers) do
    case List.keyfind(headers, "expect", 0) do
      {_, "100-continue"} -> :gen_tcp.send(socket, "HTTP/1.1 100 Continue\r\n\r\n")
      _ -> :ok
    end
  end

  defp read_body(_socket, 0), do: {:ok, ""}

  defp read_body(socket, length) do
    with :ok <- :inet.setopts(socket, packet: :raw),
         {:ok, body} <- :gen_tcp.recv(socket, length, @read_milliseconds),
         :ok <- :inet.setopts(socket, packet: :http_bin) do
      {:ok, body}
    end
  end

  defp path({:abs_path, path}), do: path
  defp path({:absoluteURI, _, _, _, path}), do: path
  defp path(_), do: "*"

  defp keep_alive?(version, headers) do
    case {version, headers |> List.keyfind("connection", 0, {nil, ""}) |> elem(1) |> String.downcase()} do
      {_, "close"} -> false
      {{1, 1}, _} -> true
      {_, "keep-alive"} -> true
      _ -> false
    end
  end

  defp refuse(connection, {status, reason}) do
    :gen_tcp.send(connection.socket, Response.encode({status, reason}, "GET", false))
    close(connection.socket)
  end

  # Closing with unread bytes would reset the connection, and the client might lose the answer. So close our side for
  # writing, and read until the client closes too.
  defp close(socket) do
    :inet.setopts(socket, packet: :raw)
    :gen_tcp.shutdown(socket, :write)
    read_away(socket, System.monotonic_time(:millisecond) + @linger_milliseconds)
  end

  defp read_away(socket, deadline) do
    left = deadline - System.monotonic_time(:millisecond)

    case left > 0 && :gen_tcp.recv(socket, 0, left) do
      {:ok, _} -> read_away(socket, deadline)
      _ -> :gen_tcp.close(socket)
    end
  end
end
