using System.ComponentModel.DataAnnotations;
using StreamService.Migrations;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>The body of POST /domains/{id}/migrations.</summary>
public sealed class MigrationRequest : IValidatableObject
{
    /// <summary>The configured name of the host to go to.</summary>
    [Required(ErrorMessage = "is required: a host's configured name.")]
    public string? Destination { get; set; }

    /// <summary>How the disks are streamed once the domain runs there, as the body of POST …/stream with mode full. Default: as that call's defaults are.</summary>
    public StreamRequest? Stream { get; set; }

    /// <summary>Whether the contents are compared with the source's before its export ends. Default false.</summary>
    public bool? Verify { get; set; }

    /// <summary>Of the disks' files on the destination. Default qcow2.</summary>
    public OverlayFormat? Format { get; set; }

    /// <summary>The destination's folder for the disks' files, which must be there. Default: for each disk the folder that it is in on the source.</summary>
    public string? Folder { get; set; }

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Folder is not null && (!Path.IsPathRooted(Folder) || Folder.Contains('\0', StringComparison.Ordinal) || Path.GetFullPath(Folder) != Path.TrimEndingDirectorySeparator(Folder)))
            yield return new ValidationResult("must be an absolute path without '.' and '..'.", ["folder"]);
        if (Stream is { Mode: StreamMode.Single })
            yield return new ValidationResult("must be full: a migration's streams run in the background.", ["stream.mode"]);
        if (Stream?.Base is not null)
            yield return new ValidationResult("must be left out: nothing of the source stays.", ["stream.base"]);
    }

    internal MigrationSpec ToSpec() => new(
        Destination!,
        (Stream ?? new StreamRequest()).ToSpec(),
        Verify ?? false,
        Format == OverlayFormat.Qed ? "qed" : "qcow2",
        Folder is null ? null : Path.TrimEndingDirectorySeparator(Folder));
}
