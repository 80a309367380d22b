using System.Collections;

namespace StreamService.Hypervisors;

/// <summary>A domain's labels as they are put on record: compared by value, in order, one a line.</summary>
public readonly record struct LabelSet(string? Text) : IEnumerable<string>
{
    public static LabelSet Of(IEnumerable<string> labels) => new(string.Join('\n', labels.Order(StringComparer.Ordinal)) is { Length: > 0 } text ? text : null);

    public IEnumerator<string> GetEnumerator() => (Text?.Split('\n') ?? []).AsEnumerable().GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}
