using System.Collections.Concurrent;
using System.ComponentModel;
using System.Text.Json;
using StreamService.Qemu.Disks;

namespace StreamService.Hypervisors;

/// <summary>What an image file and its headers say of a disk that no QEMU holds.</summary>
/// <param name="Size">What the guest sees, in bytes.</param>
internal sealed record OfflineImage(long Size, int? ClusterSize, IReadOnlyList<ChainImage> BackingChain);

/// <summary>
/// Reads the chains of shut-off domains' images with <c>qemu-img info</c>: once for each state of the top image, however often
/// it is asked for.
/// </summary>
internal sealed class OfflineImages(TimeProvider time)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(5);

    /// <summary>A chain that could not be read may be mended without any change to its top image.</summary>
    private static readonly TimeSpan FailureKept = TimeSpan.FromSeconds(5);

    /// <summary>A host with hundreds of domains must not start hundreds of processes when it is listed.</summary>
    private static readonly SemaphoreSlim Running = new(4, 4);

    private readonly ConcurrentDictionary<string, Entry> _entries = new();

    private sealed record Entry(string Format, DateTime Written, long Length, long AskedAt, Lazy<Task<OfflineImage?>> Image);

    /// <summary>The image in that file; null where there is none that can be read.</summary>
    /// <param name="format">As the definition has it: a guest writes its image, and must not choose how it is read.</param>
    /// <param name="orLastSeen">Whether an answer about a former state of the file will do, for one that is being written.</param>
    public async Task<OfflineImage?> FindAsync(string path, string format, bool orLastSeen, CancellationToken cancellationToken)
    {
        var file = new FileInfo(path);
        try
        {
            if (!file.Exists)
                return null;
            var known = _entries.GetValueOrDefault(path);
            if (known is null || !await IsUsableAsync(known, file, format, orLastSeen))
            {
                var next = new Entry(format, file.LastWriteTimeUtc, file.Length, time.GetTimestamp(), new(() => ReadAsync(path, format)));
                known = known is null ? _entries.GetOrAdd(path, next)
                    : _entries.TryUpdate(path, next, known) ? next
                    : _entries.GetValueOrDefault(path, next);
            }
            return await known.Image.Value.WaitAsync(cancellationToken);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private async ValueTask<bool> IsUsableAsync(Entry known, FileInfo file, string format, bool orLastSeen)
    {
        if (known.Format != format || (!orLastSeen && (known.Written != file.LastWriteTimeUtc || known.Length != file.Length)))
            return false;
        return !known.Image.Value.IsCompleted || await known.Image.Value is not null || time.GetElapsedTime(known.AskedAt) < FailureKept;
    }

    private async Task<OfflineImage?> ReadAsync(string path, string format)
    {
        await Running.WaitAsync();
        try
        {
            using var deadline = new CancellationTokenSource(Deadline, time);
            // -U: QEMU may take the image at this very moment, and must not be refused because somebody looks.
            var (exitCode, output, _) = await ChildProcesses.RunAsync("qemu-img", ["info", "-U", "-f", format, "--backing-chain", "--output=json", path], deadline.Token);
            return exitCode == 0 ? Parse(output) : null;
        }
        catch (Exception exception) when (exception is OperationCanceledException or Win32Exception or IOException or InvalidOperationException
            or JsonException or KeyNotFoundException or FormatException)
        {
            return null;
        }
        finally
        {
            Running.Release();
        }
    }

    private static OfflineImage? Parse(string output)
    {
        using var document = JsonDocument.Parse(output);
        var images = document.RootElement.EnumerateArray().ToList();
        if (images.Count == 0)
            return null;
        return new OfflineImage(
            images[0].GetProperty("virtual-size").GetInt64(),
            images[0].TryGetProperty("cluster-size", out var cluster) ? cluster.GetInt32() : null,
            [.. images.Skip(1).Select(image => new ChainImage(
                ImageSource.Of(image.GetProperty("filename").GetString() ?? ""),
                image.GetProperty("format").GetString() ?? "raw"))]);
    }
}
