using System.Net.Sockets;

namespace StreamService.IntegrationTests;

/// <summary>What a test needs of the machine. Where it is missing the test is skipped, but fails where CI is set.</summary>
internal static class Requires
{
    /// <summary>The sockets of the monolithic and of the modular daemon.</summary>
    private static readonly string[] LibvirtSockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];

    /// <summary>The socket of the daemon that runs.</summary>
    public static string LibvirtSocket => LibvirtSockets.First(Listens);

    /// <summary>Whether a libvirt daemon of the system answers.</summary>
    public static bool IsLibvirtThere => LibvirtSockets.Any(Listens);

    /// <summary>A program on the PATH.</summary>
    public static void Program(string name)
    {
        if (!IsInstalled(name))
            Missing($"The program {name} is not installed.");
    }

    /// <summary>Whether a program is on the PATH.</summary>
    public static bool IsInstalled(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':', StringSplitOptions.RemoveEmptyEntries)
            .Any(folder => File.Exists(Path.Combine(folder, name)));

    /// <summary>Where Debian keeps PostgreSQL's programs, those of its newest version; null where it is not installed.</summary>
    public static string? PostgresPrograms { get; } = Directory.Exists("/usr/lib/postgresql")
        ? Directory.GetDirectories("/usr/lib/postgresql")
            .OrderByDescending(folder => int.TryParse(Path.GetFileName(folder), out var version) ? version : 0)
            .Select(folder => Path.Combine(folder, "bin"))
            .FirstOrDefault(folder => File.Exists(Path.Combine(folder, "initdb")))
        : null;

    /// <summary>PostgreSQL's server.</summary>
    public static void Postgres()
    {
        if (PostgresPrograms is null)
            Missing("PostgreSQL's server is not installed.");
    }

    /// <summary>Redis' server.</summary>
    public static void Redis() => Program("redis-server");

    /// <summary>The rights to mount a file system.</summary>
    public static void Root()
    {
        if (!Environment.IsPrivilegedProcess)
            Missing("Only root may mount a file system.");
    }

    /// <summary>A libvirt daemon of the system that answers, and qemu-img to make images for it.</summary>
    public static void Libvirt()
    {
        Program("qemu-img");
        if (!IsLibvirtThere)
            Missing("No libvirt daemon listens on this machine.");
    }

    private static bool Listens(string path)
    {
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(path));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Skips the test, or fails it where CI is set.</summary>
    public static void Missing(string reason)
    {
        if (Environment.GetEnvironmentVariable("CI") is "true" or "1")
            Assert.Fail(reason);
        Assert.Skip(reason);
    }
}
