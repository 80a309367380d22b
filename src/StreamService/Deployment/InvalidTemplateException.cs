namespace StreamService.Deployment;

/// <summary>A template that no domain can or may be made from.</summary>
/// <param name="faults">Each a sentence, and each that was found; at least one.</param>
public sealed class InvalidTemplateException(IReadOnlyList<string> faults) : Exception(string.Join(' ', faults))
{
    public IReadOnlyList<string> Faults { get; } = faults;
}
