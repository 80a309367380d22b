using System.CommandLine;
using System.CommandLine.Completions;
using StreamService.Client;

namespace StreamService.Ctl;

/// <summary>Names that a shell offers at the tab key, from the service itself. Where it does not answer there are none.</summary>
internal static class Completions
{
    /// <summary>A person waits for it with a finger on the key.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>More than that nobody reads.</summary>
    private const int Most = 500;

    public static IEnumerable<CompletionItem> Domains(CompletionContext context) =>
        Ask(context, async service => await service.ListDomainsAsync(pageSize: Most).Take(Most).Select(domain => domain.Name).ToListAsync());

    /// <summary>The targets of the domain that was named before.</summary>
    public static IEnumerable<CompletionItem> Disks(CompletionContext context, Argument<string> domain) =>
        context.ParseResult.GetResult(domain) is { Tokens: [var name, ..] }
            ? Ask(context, async service => [.. (await service.GetDomainAsync(name.Value)).Disks.Select(disk => disk.Target)])
            : [];

    public static IEnumerable<CompletionItem> Hosts(CompletionContext context) =>
        Ask(context, async service => [.. (await service.GetHostsAsync()).Select(host => host.Name)]);

    public static IEnumerable<CompletionItem> Images(CompletionContext context) =>
        Ask(context, async service => await service.ListImagesAsync(pageSize: Most).Take(Most).Where(image => image.Refusal is null).Select(image => $"{image.Repository}/{image.Name}").ToListAsync());

    private static IEnumerable<CompletionItem> Ask(CompletionContext context, Func<StreamServiceClient, Task<List<string>>> ask)
    {
        try
        {
            using var service = GlobalOptions.Connect(context.ParseResult, Patience);
            // The library asks for completions without awaiting them, in a process that does nothing else.
            var names = ask(service).GetAwaiter().GetResult();
            // A line of the shell's holds one name.
            return names.Where(name => name.StartsWith(context.WordToComplete, StringComparison.OrdinalIgnoreCase) && !name.Any(char.IsControl))
                .Distinct(StringComparer.Ordinal).Select(name => new CompletionItem(name));
        }
        catch (Exception fault) when (fault is StreamServiceException or HttpRequestException or FormatException or IOException or UnauthorizedAccessException or ArgumentException)
        {
            return [];
        }
    }
}
