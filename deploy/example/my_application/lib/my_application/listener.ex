defmodule MyApplication.Listener do
  @moduledoc """
  Listens, and hands each connection to a process of its own.

  When it is stopped (SIGTERM stops the whole app) it tells every connection that it is draining, takes the
  connections that already wait, closes the socket, and returns when all connections have ended or `DRAIN_SECONDS`
  are over.
  """

  use GenServer
  require Logger

  alias MyApplication.{Connection, Settings}

  @acceptors 4
  @accept_milliseconds 200
  @backlog 1024

  def start_link(_), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "The port of the listener; with PORT=0 the system chooses it."
  def port, do: GenServer.call(__MODULE__, :port)

  # The supervisor must wait longer than the drain takes; otherwise it would cut the drain short.
  def child_spec(arg) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [arg]},
      shutdown: Settings.drain_milliseconds() + 5_000
    }
  end

  @impl true
  def init(nil) do
    Process.flag(:trap_exit, true)
    {bind, port} = {Settings.bind(), Settings.port()}

    case :gen_tcp.listen(port, socket_options(bind)) do
      {:ok, socket} ->
        {:ok, port} = :inet.port(socket)
        Logger.info("my_application #{MyApplication.version()} listens on #{:inet.ntoa(bind)}:#{port}")
        acceptors = for _ <- 1..@acceptors, do: spawn_link(fn -> accept(socket) end)
        {:ok, %{socket: socket, port: port, acceptors: acceptors}}

      {:error, reason} ->
        {:stop, "cannot listen on #{:inet.ntoa(bind)}:#{port}: #{:inet.format_error(reason)}"}
    end
  end

  @impl true
  def handle_call(:port, _from, state), do: {:reply, state.port, state}

  @impl true
  def handle_info({:EXIT, _acceptor, reason}, state), do: {:stop, reason, state}

  @impl true
  def terminate(_reason, %{socket: socket, acceptors: acceptors}) do
    Connection.announce_drain()

    # The socket is closed later: closing it now would lose a connection that is being accepted.
    for acceptor <- acceptors, do: send(acceptor, :stop)
    for acceptor <- acceptors, do: await_exit(acceptor)
    accept_waiting(socket, @backlog)
    :gen_tcp.close(socket)
    Connection.drain(Settings.drain_milliseconds())
  end

  defp socket_options(bind) do
    family = if tuple_size(bind) == 8, do: :inet6, else: :inet

    [
      family,
      :binary,
      ip: bind,
      packet: :http_bin,
      # A longer request line or header line ends the connection.
      packet_size: 16_384,
      buffer: 32_768,
      active: false,
      reuseaddr: true,
      backlog: @backlog,
      nodelay: true,
      send_timeout: 15_000,
      send_timeout_close: true
    ]
  end

  defp accept(listening) do
    receive do
      :stop -> :ok
    after
      0 -> listening |> accept_one(@accept_milliseconds) |> accept_next(listening)
    end
  end

  defp accept_next({:error, :closed}, _listening), do: :ok

  defp accept_next({:error, reason}, listening) when reason in [:emfile, :enfile, :enomem, :enobufs] do
    # Out of descriptors or memory: open connections continue, new ones wait.
    Process.sleep(50)
    accept(listening)
  end

  defp accept_next(_accepted_or_timeout_or_gone, listening), do: accept(listening)

  # Accept the connections that wait already, not later ones.
  defp accept_waiting(_listening, 0), do: :ok

  defp accept_waiting(listening, most) do
    if accept_one(listening, 0) == :ok, do: accept_waiting(listening, most - 1)
  end

  defp accept_one(listening, milliseconds) do
    with {:ok, socket} <- :gen_tcp.accept(listening, milliseconds) do
      Connection.start(socket)
      :ok
    end
  end

  defp await_exit(acceptor) do
    reference = Process.monitor(acceptor)

    receive do
      {:DOWN, ^reference, :process, _, _} -> :ok
    after
      1_000 -> :ok
    end
  end
end
