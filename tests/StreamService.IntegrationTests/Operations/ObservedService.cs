using System.Text.Json;
using StreamService.IntegrationTests.Harness;
using StreamService.Tests.Webhooks;

namespace StreamService.IntegrationTests.Operations;

/// <summary>One service with all that watches it, and one stream beside a guest at work, from its request to its end. For all tests that only look.</summary>
public sealed class ObservedService : IAsyncLifetime
{
    private TestDomain? _domain;
    private ServiceProcess? _service;

    internal WebhookListener Webhook { get; private set; } = null!;

    internal TraceCollector Traces { get; private set; } = null!;

    /// <summary>The stream's last status.</summary>
    internal JsonElement Completed { get; private set; }

    /// <summary>What <c>/metrics</c> gave after it.</summary>
    internal Scrape Scrape { get; private set; } = null!;

    internal ServiceProcess Service => _service!;

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        Webhook = await WebhookListener.StartAsync();
        Traces = await TraceCollector.StartAsync();
        var settings = Traces.Settings;
        settings["StreamService__Webhooks__0__Name"] = "audit";
        settings["StreamService__Webhooks__0__Url"] = Webhook.Url;
        settings["StreamService__Webhooks__0__Secret"] = Webhook.Secret;
        settings["StreamService__Budgets__0__Name"] = "all";
        settings["StreamService__Budgets__0__Scope"] = "Service";
        settings["StreamService__Budgets__0__BytesPerSecond"] = (32 << 20).ToString(System.Globalization.CultureInfo.InvariantCulture);
        settings["StreamService__Streaming__CheckpointBytes"] = (8 << 20).ToString(System.Globalization.CultureInfo.InvariantCulture);
        _service = await ServiceProcess.StartAsync(settings);
        _domain = await TestDomain.StartAsync(middle: false);

        using var atWork = new CancellationTokenSource();
        var guest = WorkAsync(_domain, atWork.Token);
        await _service.StartStreamAsync(_domain, new { mode = "full", policy = "adaptive", targetLatencyMs = 1000, bandwidth = 16 << 20 });
        Completed = await _service.WaitForStateAsync(_domain, "completed");
        await atWork.CancelAsync();
        await guest;
        Scrape = new Scrape(await _service.Http.GetStringAsync("/metrics"));
    }

    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
            await _service.DisposeAsync();
        if (_domain is not null)
            await _domain.DisposeAsync();
        if (Traces is not null)
            await Traces.DisposeAsync();
        if (Webhook is not null)
            await Webhook.DisposeAsync();
    }

    /// <summary>Reads as a guest does: of qemu-io's reads QEMU counts the asynchronous ones among the device's.</summary>
    private static async Task WorkAsync(TestDomain domain, CancellationToken cancellationToken)
    {
        for (var i = 0; !cancellationToken.IsCancellationRequested; i++)
            await domain.GuestAsync($"aio_read -q {i % 64}M 64k");
    }
}
