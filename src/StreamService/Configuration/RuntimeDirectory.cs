namespace StreamService.Configuration;

/// <summary>The folder of the NBD sockets and of what a restarted service must find again.</summary>
internal static class RuntimeDirectory
{
    /// <summary>Makes it where it is missing, and closes it to all other users: whoever reaches a socket in it reads the disks of guests.</summary>
    /// <param name="configured">Empty: the default.</param>
    public static string Prepare(string configured)
    {
        var folder = configured.Length > 0 ? configured
            : Environment.IsPrivilegedProcess ? "/run/streamservice"
            : Path.Combine(Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") ?? Path.GetTempPath(), "streamservice");
        const UnixFileMode ownerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        Directory.CreateDirectory(folder, ownerOnly);
        File.SetUnixFileMode(folder, ownerOnly);
        return folder;
    }
}
