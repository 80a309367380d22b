namespace StreamService.IntegrationTests.Harness;

/// <summary>Files of the source tree that tests read or run.</summary>
internal static class Repository
{
    /// <summary>The folder that holds the solution.</summary>
    public static string Root { get; } = Find();

    private static string Find()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
            if (File.Exists(Path.Combine(folder, "StreamService.sln")))
                return folder;
        throw new InvalidOperationException("The tests do not run inside the source tree.");
    }
}
