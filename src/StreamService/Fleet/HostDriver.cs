using StreamService.Hypervisors;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Fleet;

/// <summary>Drives hosts, each for one <see cref="HostTerm"/>: the connection, the streams and the migrations of the host, from their records on.</summary>
public sealed class HostDriver
{
    private readonly HostTerms _terms;
    private readonly StreamManager _streams;
    private readonly MigrationManager _migrations;
    private readonly SectorStepper _stepper;

    public HostDriver(HostDirectory hosts, HostTerms terms, StreamManager streams, MigrationManager migrations, SectorStepper stepper)
    {
        (_terms, _streams, _migrations, _stepper) = (terms, streams, migrations, stepper);
        foreach (var hypervisor in hosts.All)
            hypervisor.Changed += domain => streams.Wake(hypervisor.Info.Name, domain);
    }

    /// <summary>Begins a term: takes up what is on record for the host. Ends before anybody may ask for it, lest a stream that is on record be begun twice.</summary>
    public async Task BeginAsync(HostTerm term, CancellationToken cancellationToken)
    {
        await _streams.TakeUpAsync(term, cancellationToken);
        await _migrations.TakeUpAsync(term, cancellationToken);
        _terms.Add(term);
    }

    /// <summary>Drives the host until its term has ended and nothing of it is at work any more.</summary>
    public async Task RunAsync(HostTerm term)
    {
        using var disconnect = new CancellationTokenSource();
        var connection = term.Hypervisor.RunAsync(term, disconnect.Token);
        var tended = _stepper.TendAsync(term);
        await term.WorkAsync();
        _terms.Remove(term);
        _streams.Leave(term);
        _migrations.Leave(term);
        await tended;
        // The last to go: jobs flush and give their exports back over it.
        await disconnect.CancelAsync();
        await connection;
    }
}
