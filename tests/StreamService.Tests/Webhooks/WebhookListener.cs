using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;
using StandardWebhooks;
using StandardWebhooks.Diagnostics;

namespace StreamService.Tests.Webhooks;

/// <summary>One event as it arrived.</summary>
internal sealed record ReceivedEvent(IReadOnlyDictionary<string, string> Headers, string Body, JsonElement Event)
{
    public string Id => Event.GetProperty("id").GetString()!;

    public JsonElement Data => Event.GetProperty("data");
}

/// <summary>A receiver of webhooks on the loopback: keeps what comes, and answers as a test wants it to.</summary>
internal sealed class WebhookListener : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Lock _lock = new();
    private readonly List<ReceivedEvent> _received = [];
    private TaskCompletionSource _changed = NewSignal();

    private WebhookListener()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _app = builder.Build();
        _app.Run(TakeAsync);
    }

    /// <summary>What both sides sign with.</summary>
    public string Secret { get; } = "whsec_" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    public string Url => _app.Urls.First() + "/events?token=in-the-url";

    /// <summary>How it answers; 204 unless told otherwise. What it throws breaks the connection.</summary>
    public Func<HttpContext, ReceivedEvent, Task> Answer { get; set; } = (context, _) =>
    {
        context.Response.StatusCode = StatusCodes.Status204NoContent;
        return Task.CompletedTask;
    };

    /// <summary>All requests, those too that were answered badly.</summary>
    public IReadOnlyList<ReceivedEvent> Received
    {
        get
        {
            lock (_lock)
                return [.. _received];
        }
    }

    public static async Task<WebhookListener> StartAsync()
    {
        var listener = new WebhookListener();
        await listener._app.StartAsync();
        return listener;
    }

    /// <summary>Returns once what has arrived is as wished.</summary>
    public async Task<IReadOnlyList<ReceivedEvent>> WaitForAsync(Func<IReadOnlyList<ReceivedEvent>, bool> wished, TimeSpan? within = null)
    {
        using var deadline = new CancellationTokenSource(within ?? TimeSpan.FromSeconds(30));
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (wished([.. _received]))
                    return [.. _received];
                changed = _changed.Task;
            }
            try
            {
                await changed.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Waited too long. Arrived: {string.Join("; ", Received.Select(received => received.Body))}");
            }
        }
    }

    /// <summary>Whether an event was signed with the secret, and lately: as a library of Standard Webhooks finds that any receiver may use.</summary>
    public bool IsSigned(ReceivedEvent received)
    {
        try
        {
            new StandardWebhook(Secret).Verify(received.Body, new HeaderDictionary(received.Headers.ToDictionary(header => header.Key, header => new StringValues(header.Value), StringComparer.OrdinalIgnoreCase)));
            return true;
        }
        catch (WebhookVerificationException)
        {
            return false;
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.Zero);
        await _app.StopAsync(soon.Token);
        await _app.DisposeAsync();
    }

    private async Task TakeAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
        var body = await reader.ReadToEndAsync(context.RequestAborted);
        var received = new ReceivedEvent(
            context.Request.Headers.ToDictionary(header => header.Key, header => header.Value.ToString(), StringComparer.OrdinalIgnoreCase),
            body,
            context.Request.Method == "POST" ? JsonDocument.Parse(body).RootElement : default);
        lock (_lock)
            _received.Add(received);
        Interlocked.Exchange(ref _changed, NewSignal()).TrySetResult();
        await Answer(context, received);
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
