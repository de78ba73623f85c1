defmodule MyApplication.Response do
  @moduledoc "The bytes of an HTTP/1.1 answer: `{status, text}` or `{status, content type, bytes}`."

  @reasons %{
    200 => "OK",
    400 => "Bad Request",
    404 => "Not Found",
    405 => "Method Not Allowed",
    411 => "Length Required",
    413 => "Content Too Large",
    431 => "Request Header Fields Too Large",
    503 => "Service Unavailable"
  }

  @doc "The whole answer as iodata; the body is left out for HEAD, its length is not."
  def encode({status, text}, method, keep_alive?) do
    encode({status, "text/plain; charset=utf-8", text}, method, keep_alive?)
  end

  def encode({status, type, body}, method, keep_alive?) do
    [
      "HTTP/1.1 #{status} #{@reasons[status]}\r\n",
      "date: #{Calendar.strftime(DateTime.utc_now(), "%a, %d %b %Y %H:%M:%S GMT")}\r\n",
      "content-type: #{type}\r\ncontent-length: #{byte_size(body)}\r\n",
      "cache-control: no-store\r\nconnection: #{if keep_alive?, do: "keep-alive", else: "close"}\r\n\r\n",
      if(method == "HEAD", do: "", else: body)
    ]
  end
end
