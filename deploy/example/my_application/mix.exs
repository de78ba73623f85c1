defmodule MyApplication.MixProject do
  use Mix.Project

  # The one place where the version is set; the code asks the release for it (MyApplication.version/0).
  @version System.get_env("APP_VERSION", "0.1.0")

  def project do
    [
      app: :my_application,
      version: @version,
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      deps: [],
      aliases: aliases(),
      releases: releases()
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {MyApplication.Application, []}]
  end

  # Mix looks at the time stamp of this file, not at APP_VERSION: without --force a second version built
  # from the same _build would still call itself the first. The tests start the app themselves, on a free port.
  defp aliases do
    [release: ["compile --force", "release"], test: ["test --no-start"]]
  end

  defp releases do
    [
      my_application: [
        include_erts: true,
        include_executables_for: [:unix],
        steps: [:assemble, :tar]
      ]
    ]
  end
end
