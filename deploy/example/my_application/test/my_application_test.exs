defmodule MyApplicationTest do
  use ExUnit.Case

  alias MyApplication.{Listener, Release, Response, Router}

  setup do
    on_exit(fn ->
      for name <- ["SHOW_ENV", "NEVER_HEALTHY", "MIGRATIONS_FILE"], do: System.delete_env(name)
    end)
  end

  describe "the router" do
    test "greets, and names the version that mix.exs gave" do
      assert Router.answer("GET", "/version", "") == {200, Mix.Project.config()[:version] <> "\n"}
      assert {200, "Hello from my_application" <> _} = Router.answer("GET", "/", "")
    end

    test "is healthy by default" do
      assert Router.answer("GET", "/ping", "") == {200, "pong"}

      System.put_env("NEVER_HEALTHY", "1")
      assert {503, _} = Router.answer("GET", "/ping", "")
    end

    test "shows only the variables that SHOW_ENV names, byte for byte" do
      System.put_env(%{"SHOWN" => "ü \"$x\"\n%", "SHOW_ENV" => "OTHER, SHOWN"})

      assert Router.answer("GET", "/env/SHOWN", "") == {200, "application/octet-stream", "ü \"$x\"\n%"}
      assert {404, _} = Router.answer("GET", "/env/HOME", "")
    end
  end

  describe "a connection" do
    test "answers pipelined requests in order and keeps open between them" do
      socket = connect()

      request =
        "POST /echo HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET /ping HTTP/1.1\r\nconnection: close\r\n\r\n"

      :ok = :gen_tcp.send(socket, request)

      assert [_, "abc", _, "pong"] = socket |> read_all() |> String.split(~r/HTTP|\r\n\r\n/, trim: true)
    end

    test "refuses what could be read in two ways" do
      for {headers, status} <- [
            {"content-length: 1\r\ncontent-length: 2\r\n", 400},
            {"content-length: -1\r\n", 400},
            {"content-length: 99999999999\r\n", 413},
            {"transfer-encoding: chunked\r\n", 411}
          ] do
        socket = connect()
        :ok = :gen_tcp.send(socket, "POST /echo HTTP/1.1\r\n#{headers}\r\n")
        assert read_all(socket) =~ ~r/\AHTTP\/1.1 #{status} /
      end
    end
  end

  test "an app that stops finishes the request at work and answers one that is on its way" do
    [working, idle] = [connect(), connect()]
    :ok = :gen_tcp.send(working, "GET /slow?seconds=0.5 HTTP/1.1\r\n\r\n")
    port = Listener.port()
    Process.sleep(100)
    stopping = Task.async(fn -> Application.stop(:my_application) end)
    Process.sleep(50)
    :ok = :gen_tcp.send(idle, "GET /ping HTTP/1.1\r\n\r\n")

    assert read_all(idle) =~ "connection: close\r\n\r\npong"
    assert read_all(working) =~ "slept 0.5 s"
    assert Task.await(stopping) == :ok
    assert :gen_tcp.connect({127, 0, 0, 1}, port, []) == {:error, :econnrefused}
    {:ok, _} = Application.ensure_all_started(:my_application)
  end

  test "HEAD has the length of the body that it leaves out" do
    answer = {200, "pong"} |> Response.encode("HEAD", true) |> IO.iodata_to_binary()
    assert answer =~ "content-length: 4\r\n"
    assert String.ends_with?(answer, "\r\n\r\n")
  end

  test "a migration adds one line to its file" do
    file = Path.join(System.tmp_dir!(), "my_application-migrations-#{System.pid()}")
    on_exit(fn -> File.rm(file) end)
    System.put_env("MIGRATIONS_FILE", file)
    ExUnit.CaptureIO.capture_io(fn -> for _ <- 1..2, do: Release.migrate() end)

    assert [_, _] = file |> File.read!() |> String.split("\n", trim: true)
  end

  defp connect do
    {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, Listener.port(), [:binary, active: false])
    socket
  end

  defp read_all(socket, text \\ "") do
    case :gen_tcp.recv(socket, 0, 5_000) do
      {:ok, more} -> read_all(socket, text <> more)
      {:error, :closed} -> text
    end
  end
end
