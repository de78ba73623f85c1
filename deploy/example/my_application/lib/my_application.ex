defmodule MyApplication do
  @moduledoc """
  An example app: a small HTTP server without dependencies that can be told to misbehave.

  `MyApplication.Settings` lists every environment variable it reads, `MyApplication.Router` every path it
  answers.
  """

  @doc "The version of the release that is running, as `mix.exs` gave it."
  def version do
    # Loading is enough to know the version, and `eval` loads nothing by itself.
    _ = Application.load(:my_application)
    :my_application |> Application.spec(:vsn) |> to_string()
  end
end
