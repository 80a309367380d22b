using System.Diagnostics;
using StreamService.Qemu.Libvirt;

namespace StreamService.IntegrationTests.Libvirt;

/// <summary>A domain of its own under the system's libvirt: an overlay vda on a raw base, no operating system. Removed in the end.</summary>
internal sealed class TestDomain : IAsyncDisposable
{
    private const int BaseSize = 4 * 1024 * 1024;

    private TestDomain(string folder, string name)
    {
        Folder = folder;
        Name = name;
    }

    public static TimeSpan Deadline { get; } = TimeSpan.FromSeconds(60);

    public string Folder { get; }

    public string Name { get; }

    public LibvirtDomain Domain { get; private set; } = null!;

    /// <summary>Defines it; <paramref name="start"/> starts it too.</summary>
    public static async Task<TestDomain> CreateAsync(LibvirtConnection connection, bool start, CancellationToken cancellationToken)
    {
        var folder = Directory.CreateTempSubdirectory("lv-").FullName;
        // QEMU runs as a user of its own and has to reach the images.
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
        var test = new TestDomain(folder, Path.GetFileName(folder));
        try
        {
            var bytes = new byte[BaseSize];
            Random.Shared.NextBytes(bytes);
            await File.WriteAllBytesAsync(test.PathOf("base.raw"), bytes, cancellationToken);
            await RunAsync(
                "qemu-img",
                ["create", "-q", "-f", "qcow2", "-b", test.PathOf("base.raw"), "-F", "raw", test.PathOf("top.qcow2")],
                cancellationToken);
            test.Domain = await connection.DefineXmlAsync(test.Xml(), cancellationToken);
            if (start)
                await test.Domain.CreateAsync(cancellationToken);
            return test;
        }
        catch
        {
            await test.DisposeAsync();
            throw;
        }
    }

    public string PathOf(string file) => Path.Combine(Folder, file);

    public async ValueTask DisposeAsync()
    {
        if (Domain is not null)
        {
            // Over a connection of its own: that of the test may be broken by now, on purpose.
            await using var connection = await LibvirtConnection.OpenAsync(LibvirtConnectionTests.Uri);
            await IgnoringAsync(async () => await (await connection.LookupByUuidAsync(Domain.Uuid)).DestroyAsync());
            await IgnoringAsync(async () => await (await connection.LookupByUuidAsync(Domain.Uuid)).UndefineAsync());
            Domain.Dispose();
        }

        Directory.Delete(Folder, recursive: true);
    }

    private string Xml() =>
        $"""
        <domain type='qemu'>
          <name>{Name}</name>
          <memory unit='MiB'>64</memory>
          <os><type>hvm</type></os>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' copy_on_read='on'/>
              <source file='{PathOf("top.qcow2")}'/>
              <target dev='vda' bus='virtio'/>
            </disk>
            <controller type='usb' model='none'/>
          </devices>
        </domain>
        """;

    private static async Task IgnoringAsync(Func<Task> undo)
    {
        try
        {
            await undo();
        }
        catch (LibvirtException)
        {
            // Not running, or gone already.
        }
    }

    private static async Task RunAsync(string program, string[] arguments, CancellationToken cancellationToken)
    {
        using var process = Process.Start(program, arguments);
        await process.WaitForExitAsync(cancellationToken);
        Assert.Equal(0, process.ExitCode);
    }
}
