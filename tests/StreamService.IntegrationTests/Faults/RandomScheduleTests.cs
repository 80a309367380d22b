using System.Globalization;
using System.Net;
using System.Text;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Faults;

/// <summary>
/// Faults in an order that nobody has thought of: a hundred schedules, each from its own seed, each on a machine of its own, and at
/// the end of each a disk that is whole.
/// </summary>
/// <remarks>STREAMSERVICE_FAULT_SEED and STREAMSERVICE_FAULT_SCHEDULES choose others, and more; a failure names the seed that repeats it with one schedule.</remarks>
[Trait("Category", "Slow")]
public sealed class RandomScheduleTests(FaultTable table)
{
    private const int Workers = 4;
    private const long Size = 12 << 20;

    private static int FirstSeed => Number("STREAMSERVICE_FAULT_SEED", 20261123);

    private static int Schedules => Number("STREAMSERVICE_FAULT_SCHEDULES", 100);

    [Fact]
    public async Task Whatever_fails_in_whatever_order_the_stream_ends_and_no_byte_is_lost()
    {
        var next = -1;
        var faults = 0;
        await Task.WhenAll(Enumerable.Range(0, Workers).Select(async _ =>
        {
            await using var service = await ServiceProcess.StartAsync(new()
            {
                ["StreamService__Streaming__RetryDelay"] = "00:00:00.1",
                ["StreamService__Streaming__RetryDelayLimit"] = "00:00:01",
                ["StreamService__Streaming__StalledAfter"] = "00:00:01",
                ["StreamService__Streaming__CheckpointBytes"] = "1048576",
            });
            for (int i; (i = Interlocked.Increment(ref next)) < Schedules;)
            {
                await using var schedule = new Schedule(FirstSeed + i, service);
                Interlocked.Add(ref faults, await schedule.PlayAsync());
            }
        }));
        Assert.InRange(faults, Schedules, long.MaxValue);
        table.Add("random schedules", string.Create(CultureInfo.InvariantCulture, $"seeds {FirstSeed} to {FirstSeed + Schedules - 1}"), "each ends completed",
            string.Create(CultureInfo.InvariantCulture, $"{Schedules} schedules with {faults} faults: all completed, all bytes equal"));
    }

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : otherwise;

    /// <summary>One seed's machine, and what happens to it.</summary>
    private sealed class Schedule(int seed, ServiceProcess service) : IAsyncDisposable
    {
        private readonly Random _random = new(seed);
        private readonly StringBuilder _story = new();
        private TestDomain _domain = null!;
        private NbdkitServer? _source;

        /// <returns>How many faults there were.</returns>
        public async Task<int> PlayAsync()
        {
            var overNbd = _random.Next(2) == 0;
            await using var domain = _domain = await TestDomain.StartAsync(
                format: _random.Next(4) == 0 ? "qed" : "qcow2",
                size: Size,
                middle: false,
                kind: _random.Next(4) == 0 ? DomainKind.Qemu : DomainKind.StorageDaemon,
                reconnectDelay: overNbd ? 1 + _random.Next(2) * 20 : null,
                baseUri: !overNbd ? null : async image =>
                {
                    _source = new NbdkitServer(Path.GetDirectoryName(image)!, image);
                    await _source.StartAsync();
                    return _source.Uri;
                });
            try
            {
                await service.StartStreamAsync(domain, new { mode = "full", bandwidth = 4 << 20, engine = _random.Next(5) == 0 ? "native" : "pipelined" });
                var faults = 1 + _random.Next(4);
                for (var i = 0; i < faults; i++)
                {
                    await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(400)), TestContext.Current.CancellationToken);
                    await FailAsync();
                }
                await FinishAsync();
                return faults;
            }
            catch (Exception exception)
            {
                throw new InvalidOperationException(
                    $"STREAMSERVICE_FAULT_SEED={seed} STREAMSERVICE_FAULT_SCHEDULES=1 ({_story}): {exception.Message}\n{string.Join('\n', service.LogText.Split('\n').TakeLast(60))}", exception);
            }
        }

        public ValueTask DisposeAsync() => _source?.DisposeAsync() ?? ValueTask.CompletedTask;

        private async Task FailAsync()
        {
            switch (_random.Next(_source is null ? 8 : 11))
            {
                case 0:
                    Tell("service killed");
                    await service.KillAsync();
                    await service.StartAgainAsync();
                    break;
                case 1:
                    Tell("service stopped");
                    await service.StopAsync();
                    await service.StartAgainAsync();
                    break;
                case 2:
                    Tell("machine killed");
                    await _domain.KillQemuAsync();
                    await _domain.StartAsync();
                    break;
                case 3:
                    Tell("machine frozen");
                    var process = await _domain.QemuPidAsync();
                    await FaultBench.SignalAsync(process, "STOP");
                    await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(2000)), TestContext.Current.CancellationToken);
                    await FaultBench.SignalAsync(process, "CONT");
                    break;
                case 4:
                    Tell("paused and resumed");
                    await ChangeAsync(new { state = "paused" });
                    await ChangeAsync(new { state = "running" });
                    break;
                case 5:
                    Tell("cancelled and begun again");
                    using (var cancelled = await service.Http.DeleteAsync(ServiceProcess.DiskUrl(_domain) + "/stream", TestContext.Current.CancellationToken))
                    {
                        if (cancelled.StatusCode == HttpStatusCode.Accepted)
                        {
                            await StateAsync();
                            await WaitForEndAsync();
                        }
                    }
                    await BeginAgainAsync();
                    break;
                case 6:
                    Tell("another pace");
                    await ChangeAsync(new { bandwidth = (1 + _random.Next(8)) << 20 });
                    break;
                case 7:
                    Tell("service frozen");
                    await FaultBench.SignalAsync(service.ProcessId, "STOP");
                    await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(1000)), TestContext.Current.CancellationToken);
                    await FaultBench.SignalAsync(service.ProcessId, "CONT");
                    break;
                case 8:
                    Tell("source killed");
                    await _source!.KillAsync();
                    await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(2000)), TestContext.Current.CancellationToken);
                    await _source.StartAsync();
                    break;
                default:
                    Tell("source frozen");
                    await _source!.FreezeAsync();
                    await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(2000)), TestContext.Current.CancellationToken);
                    await _source.ThawAsync();
                    break;
            }
        }

        private async Task FinishAsync()
        {
            Tell("finished");
            await BeginAgainAsync();
            await ChangeAsync(new { bandwidth = 0, policy = "fixed" });
            Assert.Equal("completed", await WaitForEndAsync());
            await _domain.KillQemuAsync();
            Assert.Null(await _domain.BackingFileAsync());
            await _domain.AssertIntactAsync(crashed: true);
        }

        /// <summary>Starts a stream where the last one was cancelled.</summary>
        private async Task BeginAgainAsync()
        {
            if (await StateAsync() == "cancelled")
                await service.StartStreamAsync(_domain, new { mode = "full", bandwidth = 4 << 20 });
        }

        /// <summary>The stream may have come to its end meanwhile: then there is nothing to change.</summary>
        private async Task ChangeAsync(object change)
        {
            using var answer = await service.Http.PatchAsync(ServiceProcess.DiskUrl(_domain) + "/stream", System.Net.Http.Json.JsonContent.Create(change), TestContext.Current.CancellationToken);
            Assert.True(answer.IsSuccessStatusCode || answer.StatusCode == HttpStatusCode.NotFound, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        }

        private async Task<string> WaitForEndAsync()
        {
            var status = await service.WaitForAsync(_domain, "the end", status => status.GetProperty("state").GetString() is "completed" or "cancelled" or "failed", TimeSpan.FromMinutes(2));
            return status.GetProperty("state").GetString()!;
        }

        /// <summary>A machine that has just been started again is known as soon as the service has asked it who it is.</summary>
        private async Task<string> StateAsync()
        {
            await Shell.WaitForAsync($"domain {_domain.Name} to be known", async () =>
            {
                using var answer = await service.Http.GetAsync(ServiceProcess.DiskUrl(_domain), TestContext.Current.CancellationToken);
                return answer.IsSuccessStatusCode;
            });
            return (await service.StatusAsync(_domain)).GetProperty("state").GetString()!;
        }

        private void Tell(string what) => _story.Append(_story.Length == 0 ? "" : ", ").Append(what);
    }
}
