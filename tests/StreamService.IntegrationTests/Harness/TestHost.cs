namespace StreamService.IntegrationTests.Harness;

/// <summary>The machine's libvirt, started where none runs, once for all tests of the assembly.</summary>
public sealed class TestHost : IAsyncLifetime
{
    private static readonly string Script = Path.Combine(Repository.Root, "deploy", "libvirt");
    private readonly string _started = Path.GetTempFileName();

    public async ValueTask InitializeAsync()
    {
        if (Requires.IsInstalled("libvirtd"))
            await Shell.RunAsync(Script, "start", _started);
    }

    public async ValueTask DisposeAsync()
    {
        if (Requires.IsInstalled("libvirtd"))
            await Shell.RunAsync(Script, "stop", _started);
        File.Delete(_started);
    }
}
