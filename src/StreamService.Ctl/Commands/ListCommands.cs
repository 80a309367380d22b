using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using Spectre.Console.Rendering;
using StreamService.Client;

namespace StreamService.Ctl.Commands;

/// <summary>What there is: hosts, domains, streams, images.</summary>
internal static class ListCommands
{
    public static IEnumerable<Command> All => [Streams(), Summary(), Domains(), Hosts(), Images()];

    private static Command Streams()
    {
        var words = SearchWords();
        var states = Arguments.Choices<StreamState>("--state", "Only those in this state.");
        var host = Arguments.Host("Only those of this host.");
        var domain = new Option<string?>("--domain") { Description = "Only those of this domain.", HelpName = "name" };
        domain.CompletionSources.Add(Completions.Domains);
        var latest = new Option<bool>("--latest") { Description = "Only the newest of each disk." };
        var sort = Arguments.Choice<StreamSort>("--sort", "What they are sorted by.");
        var direction = Arguments.Choice<SortDirection>("--direction", "Up or down; by default what is asked for most: the newest, the largest, the soonest, the first letter.");
        var limit = new Option<int>("--limit", "-n") { Description = "At most so many; 0 is all.", DefaultValueFactory = _ => 50, HelpName = "number" };
        return new Command("streams", "Lists streams, also those that are over, the newest first.") { words, states, host, domain, latest, sort, direction, limit }.Runs(async session =>
        {
            var filter = new StreamFilter
            {
                States = session.Get(states) ?? [],
                Host = session.Get(host),
                Domain = session.Get(domain),
                Search = Search(session, words),
                LatestOnly = session.Get(latest),
            };
            var streams = session.Service.ListStreamsAsync(filter, session.Get(sort), session.Get(direction), cancellationToken: session.Token);
            session.Output.WriteTable(
                await (session.Get(limit) is > 0 and var most ? streams.Take(most) : streams).ToListAsync(session.Token),
                "There are no such streams.",
                ["DOMAIN", "DISK", "HOST", "STATE", "DONE", "LEFT", "RATE", "STREAM", "WHY"],
                status =>
                [
                    Output.Cell(status.DomainName),
                    Output.Cell(status.Path),
                    Output.Cell(status.Host),
                    Words.Of(status.State),
                    Output.Cell(Words.Percent(status)),
                    Output.Cell(status.BytesRemaining is { } left ? ByteSize.Format(left) : "-"),
                    Output.Cell(status.IsOver ? "-" : ByteSize.FormatRate(status.BytesPerSecond)),
                    Output.Cell(status.StreamId?.ToString()),
                    Output.Cell(status.Error?.Code ?? status.Reason ?? ""),
                ]);
        });
    }

    private static Command Summary()
    {
        var words = SearchWords();
        var host = Arguments.Host("Only those of this host.");
        return new Command("summary", "Tells what streams add up to, on each host and together.") { words, host }.Runs(async session =>
        {
            var summary = await session.Service.GetSummaryAsync(session.Get(host), Search(session, words), session.Token);
            session.Output.WriteTable<StreamSummary, (string Host, StreamTotals Of)>(
                summary,
                [.. summary.Hosts.Select(host => (host.Host, (StreamTotals)host)), ("all", summary)],
                "",
                ["HOST", "RUNNING", "QUEUED", "PAUSED", "WAITING", "COMPLETED", "FAILED", "CANCELLED", "LEFT", "RATE", "TIME LEFT"],
                row =>
                [
                    Output.Cell(row.Host),
                    Count(row.Of.States.Running + row.Of.States.Finalizing),
                    Count(row.Of.States.Queued),
                    Count(row.Of.States.Paused),
                    Count(row.Of.States.Waiting),
                    Count(row.Of.States.Completed),
                    Count(row.Of.States.Failed),
                    Count(row.Of.States.Cancelled),
                    Output.Cell(ByteSize.Format(row.Of.BytesRemaining)),
                    Output.Cell(ByteSize.FormatRate(row.Of.BytesPerSecond)),
                    Output.Cell(row.Of.EtaSeconds is { } eta ? Words.Duration(eta) : "-"),
                ]);
            if (!session.Output.Json && summary.Attention > 0)
                session.Output.Console.WriteLine($"{summary.Attention} need attention: streamctl streams --latest --state waiting failed");
        });

        static IRenderable Count(int streams) => Output.Cell(streams.ToString(CultureInfo.InvariantCulture));
    }

    private static Argument<string[]> SearchWords() => new("words")
    {
        Description = "Only those with each of these words in the domain's name, the disk's target or the host's name; or with this id.",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private static string? Search(Session session, Argument<string[]> words) => session.Get(words) is { Length: > 0 } given ? string.Join(' ', given) : null;

    private static Command Domains()
    {
        var host = Arguments.Host("Only those of this host.");
        var state = Arguments.Choice<DomainState>("--state", "Only those in this state.");
        return new Command("domains", "Lists the domains of all hosts, with their disks.") { host, state }.Runs(async session =>
        {
            var domains = await session.Service.ListDomainsAsync(new DomainFilter { Host = session.Get(host), State = session.Get(state) }, cancellationToken: session.Token).ToListAsync(session.Token);
            var rows = domains.SelectMany(domain => domain.Disks.Count == 0 ? [(Domain: domain, Disk: (Disk?)null)] : domain.Disks.Select(disk => (Domain: domain, Disk: (Disk?)disk))).ToList();
            session.Output.WriteTable(domains, rows, "There are no such domains.", ["DOMAIN", "HOST", "STATE", "DISK", "FORMAT", "SIZE", "BACKING", "STREAMABLE"], row =>
            [
                Output.Cell(row.Domain.Name),
                Output.Cell(row.Domain.Host),
                Words.Of(row.Domain.State),
                Output.Cell(row.Disk?.Target),
                Output.Cell(row.Disk?.Format),
                Output.Cell(row.Disk is { Size: > 0 } disk ? ByteSize.Format(disk.Size) : "-"),
                Output.Cell(row.Disk is { BackingChain.Count: > 0 and var depth } ? depth.ToString(CultureInfo.InvariantCulture) : "-"),
                Output.Cell(row.Disk is { Streamable: true } ? "yes" : "no"),
            ]);
        });
    }

    private static Command Hosts() => new Command("hosts", "Lists the hosts, and whether each can be reached.").Runs(async session =>
        session.Output.WriteTable(
            await session.Service.GetHostsAsync(session.Token),
            "The service is configured with no host.",
            ["HOST", "STATE", "HYPERVISOR", "URI", "WHY"],
            host =>
            [
                Output.Cell(host.Name),
                Words.Of(host.State),
                Output.Cell(host.Hypervisor is { } hypervisor ? $"{hypervisor} {host.HypervisorVersion}".TrimEnd() : "-"),
                Output.Cell(host.Uri),
                Output.Cell(host.LastError ?? ""),
            ]));

    private static Command Images()
    {
        var repository = new Option<string?>("--repository") { Description = "Only this one's.", HelpName = "name" };
        return new Command("images", "Lists the central images, and why some cannot be used.") { repository }.Runs(async session =>
        {
            session.Output.WriteTable(
                await session.Service.ListImagesAsync(session.Get(repository), cancellationToken: session.Token).ToListAsync(session.Token),
                "There are no such images.",
                ["IMAGE", "FORMAT", "SIZE", "WHY NOT"],
                image => [Output.Cell($"{image.Repository}/{image.Name}"), Output.Cell(image.Format), Output.Cell(ByteSize.Format(image.Size)), Output.Cell(image.Refusal ?? "")]);
            foreach (var missing in (await session.Service.GetRepositoriesAsync(session.Token)).Where(one => one.State != RepositoryState.Reachable))
                session.Output.Error($"repository {missing.Name} cannot be reached: {missing.LastError}");
        });
    }
}
