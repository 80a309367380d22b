using StreamService.Deployment;
using StreamService.IntegrationTests.Harness;

namespace StreamService.IntegrationTests.Deployment;

/// <summary>What is built in must be right by libvirt's own judgment.</summary>
public sealed class DomainTemplateTests : IAsyncLifetime
{
    private static int _count;

    // Beside those of TestDomain, and by the same rule.
    private readonly string _name = $"sst-{Environment.ProcessId}-{2_000_000 + Interlocked.Increment(ref _count)}";
    private string _folder = "";

    private string Disk => Path.Combine(_folder, "overlay");

    public async ValueTask InitializeAsync()
    {
        Requires.Libvirt();
        Requires.Program("virsh");
        _folder = Directory.CreateTempSubdirectory("streamservice-test-").FullName;
        // QEMU runs as another user, who must get through to the image.
        File.SetUnixFileMode(_folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
            | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        await Shell.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Disk, "1M");
    }

    [Theory]
    [InlineData("kvm")]
    [InlineData("qemu")]
    public async Task Libvirt_takes_the_built_in_template(string type)
    {
        await DefineAsync(type);
        try
        {
            Assert.Contains($"<source file='{Disk}'/>", await TestDomain.VirshAsync("dumpxml", _name, "--inactive"), StringComparison.Ordinal);
        }
        finally
        {
            await TestDomain.VirshAsync("undefine", _name);
        }
    }

    [Fact]
    public async Task The_built_in_template_starts()
    {
        await DefineAsync("qemu");
        try
        {
            await TestDomain.VirshAsync("start", _name);
            try
            {
                Assert.Equal("running", (await TestDomain.VirshAsync("domstate", _name)).Trim());
                Assert.Contains("copy_on_read='on'", await TestDomain.VirshAsync("dumpxml", _name), StringComparison.Ordinal);
            }
            finally
            {
                await TestDomain.VirshAsync("destroy", _name);
            }
        }
        finally
        {
            await TestDomain.VirshAsync("undefine", _name);
        }
    }

    public ValueTask DisposeAsync()
    {
        if (_folder.Length > 0)
            Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    private async Task DefineAsync(string type)
    {
        var parameters = new DomainParameters(_name, Guid.NewGuid(), 64, 1, type, "repository/image", Disk, "qcow2", CopyOnRead: true);
        var file = Path.Combine(_folder, "domain.xml");
        await File.WriteAllTextAsync(file, DomainTemplate.Build(null, TemplateOrigin.Operator, parameters, []).Xml);
        await TestDomain.VirshAsync("define", "--validate", file);
    }
}
