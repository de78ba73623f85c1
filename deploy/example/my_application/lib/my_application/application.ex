defmodule MyApplication.Application do
  @moduledoc "Starts the server, and logs its settings."

  use Application
  require Logger

  alias MyApplication.{Connection, Listener, Settings}

  @impl true
  def start(_type, _args) do
    if Settings.fail_boot?() do
      Logger.error("refusing to boot: FAIL_BOOT is 1")
      {:error, "FAIL_BOOT is 1"}
    else
      boot()
    end
  end

  defp boot do
    # The listener comes last: children stop in reverse order, and it waits for the connections to end.
    children = [{Task.Supervisor, name: Connection.supervisor()}, Listener] ++ death()
    Supervisor.start_link(children, strategy: :one_for_all, name: MyApplication.Supervisor)
  end

  defp death do
    case Settings.die_after_milliseconds() do
      nil -> []
      milliseconds -> [{Task, fn -> die_after(milliseconds) end}]
    end
  end

  defp die_after(milliseconds) do
    Process.sleep(milliseconds)
    Logger.error("dying after #{milliseconds} ms: DIE_AFTER_SECONDS is set")
    Logger.flush()
    System.halt(1)
  end
end
