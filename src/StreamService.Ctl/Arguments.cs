using System.CommandLine;
using StreamService.Client;
using StreamService.Client.Json;

namespace StreamService.Ctl;

/// <summary>A domain and one of its disks.</summary>
internal sealed class DiskArguments
{
    public Argument<string> Domain { get; } = Arguments.Domain();

    public Argument<string?> Disk { get; } = new("disk")
    {
        Description = "The disk's target, as vda, or its source. May be left out where the domain has one disk.",
        Arity = ArgumentArity.ZeroOrOne,
    };

    public DiskArguments() => Disk.CompletionSources.Add(context => Completions.Disks(context, Domain));

    public T AddTo<T>(T command)
        where T : Command
    {
        command.Add(Domain);
        command.Add(Disk);
        return command;
    }
}

/// <summary>Parts of command lines that several commands have.</summary>
internal static class Arguments
{
    public static Argument<string> Domain()
    {
        var domain = new Argument<string>("domain") { Description = "The domain's name, where one host only has it, or its UUID." };
        domain.CompletionSources.Add(Completions.Domains);
        return domain;
    }

    public static Option<string?> Host(string description)
    {
        var host = new Option<string?>("--host") { Description = description, HelpName = "name" };
        host.CompletionSources.Add(Completions.Hosts);
        return host;
    }

    public static Option<long?> Size(string name, string description) => Bytes(name, description, "size", ByteSize.Parse);

    public static Option<long?> Rate(string name, string description) => Bytes(name, description, "size/s", ByteSize.ParseRate);

    /// <summary>One of the names by which an enum travels.</summary>
    public static Option<T?> Choice<T>(string name, string description)
        where T : struct, Enum
    {
        var option = new Option<T?>(name)
        {
            Description = $"{description} One of {string.Join(", ", EnumNames.All<T>())}.",
            HelpName = "name",
            CustomParser = result => Choose<T>(result.Tokens[0].Value, result.AddError),
        };
        option.CompletionSources.Add(_ => EnumNames.All<T>().Select(value => new System.CommandLine.Completions.CompletionItem(value)));
        return option;
    }

    /// <summary>Any number of such names.</summary>
    public static Option<IReadOnlyList<T>> Choices<T>(string name, string description)
        where T : struct, Enum
    {
        var option = new Option<IReadOnlyList<T>>(name)
        {
            Description = $"{description} Any of {string.Join(", ", EnumNames.All<T>())}.",
            HelpName = "name",
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = true,
            CustomParser = result => [.. result.Tokens.Select(token => Choose<T>(token.Value, result.AddError) ?? default)],
            DefaultValueFactory = _ => [],
        };
        option.CompletionSources.Add(_ => EnumNames.All<T>().Select(value => new System.CommandLine.Completions.CompletionItem(value)));
        return option;
    }

    private static T? Choose<T>(string text, Action<string> fault)
        where T : struct, Enum
    {
        if (EnumNames.All<T>().Contains(text, StringComparer.Ordinal))
            return EnumNames.Find<T>(text);
        fault($"'{text}' is none of {string.Join(", ", EnumNames.All<T>())}.");
        return null;
    }

    private static Option<long?> Bytes(string name, string description, string helpName, Func<string, long> parse) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result =>
        {
            try
            {
                return parse(result.Tokens[0].Value);
            }
            catch (FormatException fault)
            {
                result.AddError(fault.Message);
                return null;
            }
        },
    };
}

/// <summary>What can be said of a full stream.</summary>
internal sealed class StreamArguments
{
    private readonly Option<string?> _base = new("--base") { Description = "A backing image of the chain that stays, by its source.", HelpName = "source" };
    private readonly Option<long?> _bandwidth = Arguments.Rate("--bandwidth", "At most so many bytes a second, as 50MiB; unlimited by default.");
    private readonly Option<StreamPolicy?> _policy = Arguments.Choice<StreamPolicy>("--policy", "Whether it gives way to the guest.");
    private readonly Option<double?> _targetLatency = new("--target-latency") { Description = "adaptive: the guest's mean latency to stay under.", HelpName = "ms" };
    private readonly Option<long?> _minBandwidth = Arguments.Rate("--min-bandwidth", "adaptive: what the guest's load does not push it below.");
    private readonly Option<StreamPriority?> _priority = Arguments.Choice<StreamPriority>("--priority", "Its weight under a budget.");
    private readonly Option<StreamOnError?> _onError = Arguments.Choice<StreamOnError>("--on-error", "Whether it waits and retries, or fails.");
    private readonly Option<StreamEngine?> _engine = Arguments.Choice<StreamEngine>("--engine", "Who populates.");
    private readonly Option<StreamOrder?> _order = Arguments.Choice<StreamOrder>("--order", "Where it begins.");

    /// <param name="withBase">Whether an image may stay; not where a whole domain is deployed or moved.</param>
    public T AddTo<T>(T command, bool withBase = true)
        where T : Command
    {
        if (withBase)
            command.Add(_base);
        foreach (var option in new Option[] { _bandwidth, _policy, _targetLatency, _minBandwidth, _priority, _onError, _engine, _order })
            command.Add(option);
        return command;
    }

    public StreamOptions Read(Session session) => new()
    {
        Base = session.Get(_base),
        Bandwidth = session.Get(_bandwidth),
        Policy = session.Get(_policy),
        TargetLatencyMs = session.Get(_targetLatency),
        MinBandwidth = session.Get(_minBandwidth),
        Priority = session.Get(_priority),
        OnError = session.Get(_onError),
        Engine = session.Get(_engine),
        Order = session.Get(_order),
    };
}
