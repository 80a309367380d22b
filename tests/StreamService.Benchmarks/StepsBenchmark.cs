using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace StreamService.Benchmarks;

/// <summary>
/// A whole disk in single steps of 64 KiB, one after the other over one kept-alive HTTP connection, following the offset
/// that each answer names. The last step, which flushes and drops the backing link, is told apart.
/// </summary>
/// <remarks>The caller is a plain socket: HttpClient takes as much of the processor for a call as the service does.</remarks>
internal static class StepsBenchmark
{
    private const int Unit = 64 << 10;

    public static async Task RunAsync(Workbench bench)
    {
        using var http = new Connection(bench.Http.BaseAddress!);
        var table = new MarkdownTable("overlay", "round", "steps", "steps/s", "p50, ms", "p99, ms", "last step, ms");
        var rates = new List<double>();
        foreach (var format in bench.Options.Formats)
            for (var round = 0; round < bench.Options.Rounds; round++)
            {
                await using var source = await BaseSource.StartAsync(bench, "file");
                await using var domain = await BenchDomain.StartAsync(bench, format, source);
                // The first step makes the export.
                var offset = http.Step(domain, 0).Offset;
                var times = new List<double>();
                for (var done = false; !done;)
                {
                    var begun = TimeProvider.System.GetTimestamp();
                    (offset, done) = http.Step(domain, offset);
                    times.Add(TimeProvider.System.GetElapsedTime(begun).TotalMilliseconds);
                }
                var last = times[^1];
                times.RemoveAt(times.Count - 1);
                rates.Add(times.Count * 1000 / times.Sum());
                table.Add(format, $"{round + 1}", $"{times.Count}", Text(rates[^1], "0"), Text(Sample.Median(times), "0.000"),
                    Text(Sample.Quantile(times, 0.99), "0.000"), Text(last, "0"));
            }
        Console.WriteLine($"{bench.Options.Size >> 20} MiB, local file; median {Text(Sample.Median(rates), "0")} steps/s.");
        table.Print();
    }

    /// <summary>One HTTP connection, one call at a time.</summary>
    private sealed class Connection : IDisposable
    {
        private readonly Uri _service;
        private readonly Socket _socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly byte[] _buffer = new byte[64 << 10];

        public Connection(Uri service)
        {
            _service = service;
            _socket.Connect(service.Host, service.Port);
        }

        public void Dispose() => _socket.Dispose();

        public (long Offset, bool Done) Step(BenchDomain domain, long offset)
        {
            var body = $$"""{"mode":"single","offset":{{offset}},"length":{{Unit}}}""";
            _socket.Send(Encoding.ASCII.GetBytes(
                $"POST {domain.Url}/stream HTTP/1.1\r\nHost: {_service.Authority}\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}"));
            var answer = Receive();
            if (!answer.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal))
                throw new InvalidOperationException(answer);
            using var step = JsonDocument.Parse(answer.AsMemory(answer.IndexOf('{', StringComparison.Ordinal)..(answer.LastIndexOf('}') + 1)));
            return (step.RootElement.GetProperty("offset").GetInt64(), step.RootElement.GetProperty("done").GetBoolean());
        }

        /// <summary>One answer, as it stands: the service sends these in chunks, which end in an empty one.</summary>
        private string Receive()
        {
            for (var length = 0; ;)
            {
                var received = _socket.Receive(_buffer.AsSpan(length));
                if (received == 0)
                    throw new InvalidOperationException("The service closed the connection.");
                length += received;
                var text = Encoding.ASCII.GetString(_buffer, 0, length);
                if (text.EndsWith("\r\n0\r\n\r\n", StringComparison.Ordinal) || EndsByLength(text))
                    return text;
            }
        }

        private static bool EndsByLength(string text)
        {
            const string header = "\r\nContent-Length: ";
            var at = text.IndexOf(header, StringComparison.OrdinalIgnoreCase);
            var end = text.IndexOf("\r\n\r\n", StringComparison.Ordinal);
            if (at < 0 || end < at)
                return false;
            at += header.Length;
            return text.Length - (end + 4) == int.Parse(text.AsSpan(at, text.IndexOf('\r', at) - at), CultureInfo.InvariantCulture);
        }
    }

    private static string Text(double number, string format) => number.ToString(format, CultureInfo.InvariantCulture);
}
