namespace StreamService.IntegrationTests.Harness;

/// <summary>One service for all tests that neither kill nor configure it; each has domains of its own. Started on first use.</summary>
public sealed class SharedService : IAsyncDisposable
{
    private readonly Lazy<Task<ServiceProcess>> _service = new(() => ServiceProcess.StartAsync());

    internal Task<ServiceProcess> StartedAsync() => _service.Value;

    public async ValueTask DisposeAsync()
    {
        if (_service.IsValueCreated)
            await (await _service.Value).DisposeAsync();
    }
}
