using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Api;

/// <summary>
/// Thousands of requests made from the service's own OpenAPI document, most of them with faults, to the real service with real
/// machines. Repeat a run by its seed: <c>STREAMSERVICE_FUZZ_SEED</c>; a longer one by <c>STREAMSERVICE_FUZZ_REQUESTS</c>.
/// </summary>
[Trait("Category", "Slow")]
public sealed class OpenApiFuzzTests
{
    /// <summary>At once, as callers are.</summary>
    private const int Callers = 4;

    /// <summary>No answer takes longer; none waits for more than a second on the caller's behalf.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private static int Seed { get; } = Setting("STREAMSERVICE_FUZZ_SEED", 20261122);

    /// <summary>As many before the first look at the process, and as many after it.</summary>
    private static int Half { get; } = Setting("STREAMSERVICE_FUZZ_REQUESTS", 3000) / 2;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Whatever_is_asked_the_answer_is_documented_and_in_time_and_nothing_piles_up()
    {
        Console.WriteLine($"OpenAPI fuzz: STREAMSERVICE_FUZZ_SEED={Seed}");
        await using var bench = await Bench.StartAsync();
        var before = bench.Look();
        await bench.PlayAsync(0, Half);
        var middle = bench.Look();
        await bench.PlayAsync(Half, Half);
        var after = bench.Look();
        var report = $"seed {Seed}; {bench.Summary}\nbefore {before}\nmiddle {middle}\nafter {after}";
        TestContext.Current.TestOutputHelper?.WriteLine(report);

        using (var ready = await bench.Service.Http.GetAsync(new Uri("/readyz", UriKind.Relative), Token))
            Assert.True(ready.IsSuccessStatusCode, $"{report}\n{ready}");
        // Not that all were turned away at the door.
        Assert.All([200, 202, 204, 400, 404, 409, 415], status => Assert.True(bench.Seen(status) > 0, $"none was answered {status}: {report}"));
        // The one half compiled the code and filled the caches; the other leaves nothing behind but noise.
        Assert.True(after.Memory < middle.Memory * 1.25 + (48 << 20), report);
        Assert.True(after.Handles <= middle.Handles + 24, report);
        Assert.True(after.Threads <= middle.Threads + 12, report);
    }

    [Fact]
    public async Task What_the_document_describes_fits_its_own_schemas()
    {
        var fuzzer = new OpenApiFuzzer(OpenApiContract.Document.Value, new Dictionary<string, string[]>());
        var random = new Random(Seed);
        foreach (var (path, item) in OpenApiContract.Document.Value["paths"]!.AsObject())
            foreach (var (method, operation) in item!.AsObject())
                if (operation!["requestBody"]?["content"]?["application/json"]?["schema"]?.AsObject() is { } schema)
                    for (var i = 0; i < 20; i++)
                    {
                        var body = fuzzer.Valid(schema, "", random)!;
                        Assert.True(await OpenApiContract.FaultsAsync(schema, body.ToJsonString()) is [], $"{method} {path}: {body}");
                        body["notAMember"] = 1;
                        Assert.True(await OpenApiContract.FaultsAsync(schema, body.ToJsonString()) is not [], $"{method} {path} takes any member: {body}");
                    }
    }

    private static int Setting(string name, int otherwise) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;

    /// <summary>What the kernel says of the service's process.</summary>
    private sealed record Figures(long Memory, int Handles, int Threads);

    /// <summary>The service alone with machines of its own: no libvirt, on which other tests have their domains.</summary>
    private sealed class Bench : IAsyncDisposable
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("streamservice-test-fuzz-").FullName;
        private readonly List<TestDomain> _domains = [];
        private readonly ConcurrentDictionary<int, int> _answers = new();
        private readonly ConcurrentDictionary<int, string> _faults = new();
        private HttpClient? _held;
        private HttpClient? _free;
        private OpenApiFuzzer? _fuzzer;
        private long _slowest;

        public ServiceProcess Service { get; private set; } = null!;

        public string Summary => $"slowest {_slowest} ms; {string.Join(", ", _answers.OrderBy(answer => answer.Key).Select(answer => $"{answer.Key}: {answer.Value}"))}";

        public int Seen(int status) => _answers.GetValueOrDefault(status);

        public static async Task<Bench> StartAsync()
        {
            var bench = new Bench();
            try
            {
                await bench.PrepareAsync();
                return bench;
            }
            catch
            {
                await bench.DisposeAsync();
                throw;
            }
        }

        public async Task PlayAsync(int from, int count)
        {
            await Parallel.ForEachAsync(Enumerable.Range(from, count), new ParallelOptions { MaxDegreeOfParallelism = Callers, CancellationToken = Token },
                async (number, _) => await PlayAsync(number));
            Assert.True(_faults.IsEmpty, $"{_faults.Count} answers were not as they must be.\n{string.Join('\n', _faults.OrderBy(fault => fault.Key).Take(10).Select(fault => fault.Value))}");
            await RestAsync();
        }

        public Figures Look()
        {
            var process = $"/proc/{Service.ProcessId}";
            var memory = File.ReadLines($"{process}/status").First(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
            return new(
                long.Parse(memory.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) << 10,
                Directory.EnumerateFileSystemEntries($"{process}/fd").Count(),
                Directory.EnumerateDirectories($"{process}/task").Count());
        }

        public async ValueTask DisposeAsync()
        {
            _held?.Dispose();
            _free?.Dispose();
            if (Service is not null)
                await Service.DisposeAsync();
            foreach (var domain in _domains)
                await domain.DisposeAsync();
            Directory.Delete(_folder, recursive: true);
        }

        /// <summary>Streams that go on by themselves, and exports that are kept for the next step, would be taken for growth.</summary>
        private async Task RestAsync()
        {
            foreach (var domain in _domains)
                (await _free!.DeleteAsync(new Uri($"/domains/{domain.Name}/disks/vda/stream", UriKind.Relative), Token)).Dispose();
            await Shell.WaitForAsync("the exports to be given back", async () =>
            {
                foreach (var domain in _domains)
                    if ((await domain.MonitorAsync("query-block-exports")).GetArrayLength() > 0)
                        return false;
                return true;
            }, TimeSpan.FromMinutes(1));
        }

        private async Task PrepareAsync()
        {
            var monitors = Directory.CreateDirectory(Path.Combine(_folder, "monitors")).FullName;
            var images = Directory.CreateDirectory(Path.Combine(_folder, "images")).FullName;
            foreach (var kind in new[] { DomainKind.StorageDaemon, DomainKind.StorageDaemon, DomainKind.StorageDaemon, DomainKind.Qemu })
            {
                var domain = await TestDomain.StartAsync(size: 32 << 20, middle: false, kind: kind);
                _domains.Add(domain);
                domain.LinkInto(monitors);
            }
            var empty = Directory.CreateDirectory(Path.Combine(_folder, "empty")).FullName;
            await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Path.Combine(images, "golden.qcow2"), "16M");
            Service = await ServiceProcess.StartAsync(new()
            {
                ["StreamService__Hosts__0__Name"] = "monitors",
                ["StreamService__Hosts__0__Uri"] = $"qmp+unix://{monitors}/*.sock",
                ["StreamService__Hosts__1__Name"] = "empty",
                ["StreamService__Hosts__1__Uri"] = $"qmp+unix://{empty}/*.sock",
                ["StreamService__ImageRepositories__0__Name"] = "golden",
                ["StreamService__ImageRepositories__0__Uri"] = images,
                ["StreamService__ImageRepositories__1__Name"] = "silver",
                ["StreamService__ImageRepositories__1__Uri"] = "nbd+unix:///?socket=/nonexistent",
            });
            _held = Client(transport => new OpenApiContract(transport));
            _free = Client(transport => transport);

            var ids = new List<string>();
            await Shell.WaitForAsync("the machines to be known", async () =>
            {
                var domains = (await _free.GetFromJsonAsync<JsonElement>("/domains", Token)).GetProperty("items").EnumerateArray().ToList();
                ids = [.. domains.Select(domain => domain.GetProperty("id").GetString()!), .. domains.Select(domain => domain.GetProperty("name").GetString()!)];
                return domains.Count == _domains.Count;
            });
            var none = Guid.NewGuid().ToString();
            _fuzzer = new OpenApiFuzzer(OpenApiContract.Document.Value, new Dictionary<string, string[]>
            {
                // More often what is there than what is not.
                ["id"] = [.. ids, none, "nobody"],
                ["domain"] = [ids[0], none],
                ["path"] = [.. Enumerable.Repeat("vda", 8), "vdb", _domains[0].Disk],
                ["streamId"] = [none],
                ["migrationId"] = [none],
                ["repository"] = ["golden", "golden", "golden", "silver", "bronze"],
                ["name"] = ["golden.qcow2", "golden.qcow2", "gold", "nightly"],
                ["image"] = ["golden/golden.qcow2", "golden/none", "none"],
                ["host"] = ["monitors", "empty", "nowhere"],
                ["destination"] = ["monitors", "empty", "nowhere"],
                ["base"] = [.. _domains.Select(domain => Path.Combine(domain.Folder, "base.raw")), "/nonexistent"],
                // So that a stream lasts longer than one request.
                ["bandwidth"] = ["4096", "65536", "262144", "1048576"],
                ["from"] = ["22:00"],
                ["to"] = ["06:00"],
                ["timeZone"] = ["Europe/Berlin"],
            });
        }

        private HttpClient Client(Func<SocketsHttpHandler, HttpMessageHandler> over)
        {
            var transport = Service.Transport();
            // The bytes of a header as they are.
            transport.RequestHeaderEncodingSelector = (_, _) => Encoding.Latin1;
            transport.AllowAutoRedirect = false;
            return new HttpClient(over(transport)) { BaseAddress = Service.Address, Timeout = Patience };
        }

        private async Task PlayAsync(int number)
        {
            var request = _fuzzer!.Make(Seed, number);
            if (request is { MustFail: null, Reach: FuzzReach.Operation, Body: not null, Schema: not null })
                request.MustFail = await FaultOfBodyAsync(request.Schema, request.Body);
            try
            {
                var begun = Stopwatch.GetTimestamp();
                using var message = request.ToMessage(Service.Address);
                using var answer = await (request.Reach == FuzzReach.Operation ? _held! : _free!).SendAsync(message, Token);
                await answer.Content.LoadIntoBufferAsync(Token);
                InterlockedMax(ref _slowest, (long)Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
                var status = (int)answer.StatusCode;
                _answers.AddOrUpdate(status, 1, (_, count) => count + 1);
                await CheckAsync(request, answer, status);
            }
            catch (Exception fault) when (!Token.IsCancellationRequested)
            {
                _faults[number] = $"Seed {Seed}, request {number}, {request.Reach}: {fault.Message}\n{request}\n";
            }
        }

        private static async Task CheckAsync(FuzzRequest request, HttpResponseMessage answer, int status)
        {
            var body = await answer.Content.ReadAsStringAsync(Token);
            Assert.True(status < 500 || status is 502 or 503 or 507, $"Answered {status}: {body}");
            Assert.True(request.MustFail is null || status >= 400, $"Answered {status} although {request.MustFail}: {body}");
            // The web server has no body for what it does not let in.
            if (status < 400 || request.Reach == FuzzReach.WebServer && body.Length == 0)
                return;
            Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
            var problem = JsonDocument.Parse(body).RootElement;
            Assert.NotEmpty(problem.GetProperty("code").GetString()!);
            Assert.Equal(status, problem.GetProperty("status").GetInt32());
        }

        /// <summary>What is wrong with the body by JSON's own rules and by the document's schema; null for nothing.</summary>
        private static async Task<string?> FaultOfBodyAsync(JsonObject schema, byte[] body)
        {
            // A byte order mark may be there.
            ReadOnlyMemory<byte> text = body is [0xef, 0xbb, 0xbf, ..] ? body.AsMemory(3) : body;
            try
            {
                using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 1000 });
                return document.RootElement.ValueKind != JsonValueKind.Object ? "the body is no object"
                    : await OpenApiContract.FaultsAsync(schema, Encoding.UTF8.GetString(text.Span)) is [var first, ..] ? $"of the body's {first}" : null;
            }
            catch (JsonException)
            {
                return "the body is not JSON";
            }
        }

        private static void InterlockedMax(ref long most, long value)
        {
            for (var seen = Volatile.Read(ref most); value > seen; seen = Volatile.Read(ref most))
                Interlocked.CompareExchange(ref most, value, seen);
        }
    }
}
