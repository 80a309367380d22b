using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using StreamService.Qemu.Qmp;

namespace StreamService.Tests.Qmp;

/// <summary>A monitor that answers from a script, through the real messages, and keeps what it was sent.</summary>
internal sealed class ScriptedMonitor(params string[] answers) : IQmpMonitor
{
    private readonly Queue<string> _answers = new(answers);

    public List<string> Sent { get; } = [];

    public List<int> FileCounts { get; } = [];

    public Task<JsonElement> ExecuteAsync(
        string command, JsonObject? arguments, IReadOnlyList<SafeHandle>? files, CancellationToken cancellationToken)
    {
        Sent.Add(QmpMessage.Command(command, arguments));
        FileCounts.Add(files?.Count ?? 0);
        try
        {
            return Task.FromResult(QmpMessage.Result(command, _answers.Dequeue()));
        }
        catch (QmpException e)
        {
            return Task.FromException<JsonElement>(e);
        }
    }
}
