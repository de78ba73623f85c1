System.put_env(%{"PORT" => "0", "DRAIN_SECONDS" => "3"})
Logger.configure(level: :warning)
{:ok, _} = Application.ensure_all_started(:my_application)
ExUnit.start()
