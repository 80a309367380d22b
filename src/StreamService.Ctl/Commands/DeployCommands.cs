using System.CommandLine;
using StreamService.Client;

namespace StreamService.Ctl.Commands;

/// <summary>Domains from central images.</summary>
internal static class DeployCommands
{
    public static IEnumerable<Command> All => [Deploy(), Remove()];

    private static Command Deploy()
    {
        var name = new Argument<string>("name") { Description = "The new domain's." };
        var image = new Option<string>("--image") { Description = "As repository/name.", HelpName = "image", Required = true };
        image.CompletionSources.Add(Completions.Images);
        var host = Arguments.Host("Where. Default: the only host that there is.");
        var memory = new Option<long?>("--memory") { Description = "As 2GiB.", HelpName = "size", Required = true, CustomParser = Memory };
        var vcpus = new Option<int>("--vcpus") { Description = "Virtual processors.", HelpName = "number", DefaultValueFactory = _ => 1 };
        var format = Arguments.Choice<OverlayFormat>("--format", "Of the overlay. Default: qcow2.");
        var size = Arguments.Size("--size", "Of the disk. Default: the image's.");
        var template = new Option<FileInfo?>("--domain-xml") { Description = "A libvirt domain description to take all else from.", HelpName = "file" };
        var noCopyOnRead = new Option<bool>("--no-copy-on-read") { Description = "What the guest reads is not kept in the overlay." };
        var noStream = new Option<bool>("--no-stream") { Description = "The disk is not streamed behind the guest." };
        var watch = new Option<bool>("--watch", "-w") { Description = "Follows the stream to its end; the exit code is then that end's." };
        var key = new Option<string?>("--idempotency-key") { Description = "The same key and request answer as the first time did.", HelpName = "key" };
        var how = new StreamArguments();
        var command = how.AddTo(new Command("deploy", "Deploys a domain from an image: it boots at once, its disk is streamed behind it.") { name, image, host, memory, vcpus, format, size, template, noCopyOnRead, noStream, watch, key }, withBase: false);
        return command.Runs(async session =>
        {
            var domain = await session.Service.DeployAsync(new DeploymentOptions
            {
                Name = session.Get(name),
                Host = session.Get(host) ?? await OnlyHostAsync(session),
                Image = session.Get(image)!,
                Format = session.Get(format) ?? OverlayFormat.Qcow2,
                MemoryMiB = (int)((session.Get(memory) ?? 0) >> 20),
                Vcpus = session.Get(vcpus),
                Size = session.Get(size),
                DomainXml = session.Get(template) is { } file ? await File.ReadAllTextAsync(file.FullName, session.Token) : null,
                CopyOnRead = session.Get(noCopyOnRead) ? false : null,
                Stream = session.Get(noStream) ? null : how.Read(session),
            }, session.Get(key), session.Token);
            if (!session.Get(watch) || domain.Disks is not [var first, ..])
            {
                session.Output.WriteLine(domain, deployed => $"{deployed.Name} runs on {deployed.Host}: {deployed.Id}");
                return ExitCodes.Ok;
            }
            var deployed = domain.Disks.FirstOrDefault(disk => disk.BackingChain.Count > 0) ?? first;
            return await StreamWatching.WatchAsync(session, await session.Service.Disk(domain.Id, deployed.Target).GetStatusAsync(session.Token));
        });
    }

    private static Command Remove()
    {
        var domain = Arguments.Domain();
        var storage = new Option<bool>("--storage") { Description = "Deletes its overlay too." };
        return new Command("remove", "Stops and removes a domain that the service deployed.") { domain, storage }.Runs(session =>
            session.Service.RemoveDomainAsync(session.Get(domain), session.Get(storage), session.Token));
    }

    private static long? Memory(System.CommandLine.Parsing.ArgumentResult result)
    {
        try
        {
            var bytes = ByteSize.Parse(result.Tokens[0].Value);
            if (bytes > 0 && bytes % (1 << 20) == 0 && bytes >> 20 <= int.MaxValue)
                return bytes;
            result.AddError($"'{result.Tokens[0].Value}' is not a whole number of MiB.");
        }
        catch (FormatException fault)
        {
            result.AddError(fault.Message);
        }
        return null;
    }

    private static async Task<string> OnlyHostAsync(Session session) =>
        await session.Service.GetHostsAsync(session.Token) switch
        {
            [var only] => only.Name,
            var several => throw new UsageException($"Say with --host where: {string.Join(", ", several.Select(host => host.Name))}."),
        };
}
