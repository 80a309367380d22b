using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;
using StreamService.Deployment;
using StreamService.Deployment.Images;
using StreamService.Security;
using StreamService.Streaming;

namespace StreamService.Api;

/// <summary>The format of a new overlay.</summary>
[JsonConverter(typeof(CamelCaseEnumConverter<OverlayFormat>))]
public enum OverlayFormat
{
    Qcow2,
    Qed,
}

/// <summary>The body of POST /domains.</summary>
public sealed class DeploymentRequest : IValidatableObject
{
    /// <summary>The domain's: 1 to 64 letters, digits, '-', '_' or '.', the first a letter or digit. The host must have no other of that name.</summary>
    [Required(ErrorMessage = "is required: the domain's name.")]
    public string? Name { get; set; }

    /// <summary>The configured name of the host.</summary>
    [Required(ErrorMessage = "is required: a host's configured name.")]
    public string? Host { get; set; }

    /// <summary>The image to deploy from, as <c>repository/name</c>.</summary>
    [Required(ErrorMessage = "is required: an image as repository/name.")]
    public string? Image { get; set; }

    /// <summary>Of the overlay.</summary>
    [Required(ErrorMessage = "is required: qcow2 or qed.")]
    public OverlayFormat? Format { get; set; }

    /// <summary>Memory in MiB.</summary>
    [Required(ErrorMessage = "is required: memory in MiB.")]
    [Range(1, LargestMemoryMiB, ErrorMessage = "must be 1 to 16777216 MiB.")]
    public int? MemoryMiB { get; set; }

    /// <summary>Virtual processors.</summary>
    [Required(ErrorMessage = "is required: virtual processors.")]
    [Range(1, LargestVcpus, ErrorMessage = "must be 1 to 1024.")]
    public int? Vcpus { get; set; }

    /// <summary>Of the disk, in bytes; a multiple of 512, the image's size or more. Default: the image's size.</summary>
    [Range(StreamRequest.SectorSize, LargestDisk, ErrorMessage = "must be 512 to 9007199254740992 bytes.")]
    public long? Size { get; set; }

    /// <summary>
    /// A libvirt domain description to take all else from; see README, "Templates". Default: the operator's template, or the service's own.
    /// </summary>
    [MinLength(1, ErrorMessage = "must not be empty.")]
    [NotAudited]
    public string? DomainXml { get; set; }

    /// <summary>Whether what the guest reads stays in the overlay, so that it crosses the network once. Default true.</summary>
    public bool? CopyOnRead { get; set; }

    /// <summary>The stream to begin behind the guest, as the body of POST …/stream with mode full. Default: none.</summary>
    public StreamRequest? Stream { get; set; }

    /// <summary>16 TiB: beyond any host, so a mistake.</summary>
    private const int LargestMemoryMiB = 16 << 20;

    private const int LargestVcpus = 1024;

    /// <summary>8 PiB: beyond any storage, so a mistake.</summary>
    private const long LargestDisk = 1L << 53;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Name is not null && !DomainName.IsValid(Name))
            yield return new ValidationResult(DomainName.Rule, ["name"]);
        if (Image is not null && !ImageName.TryParse(Image, out _))
            yield return new ValidationResult("must be repository/name, both without slashes, colons and what else could lead out of the repository.", ["image"]);
        if (Size is { } size && size % StreamRequest.SectorSize != 0)
            yield return new ValidationResult($"must be a multiple of {StreamRequest.SectorSize}; was {size}.", ["size"]);
        if (Stream is { Mode: StreamMode.Single })
            yield return new ValidationResult("must be full: a deployment's stream runs in the background.", ["stream.mode"]);
        if (Stream?.Base is not null)
            yield return new ValidationResult("must be left out: nothing of the image stays.", ["stream.base"]);
    }

    internal DeploymentSpec ToSpec()
    {
        if (!ImageName.TryParse(Image!, out var image))
            throw new InvalidOperationException("The request was not validated.");
        return new DeploymentSpec(Name!, Host!, image, Format == OverlayFormat.Qed ? "qed" : "qcow2", MemoryMiB!.Value, Vcpus!.Value, Size, DomainXml,
            CopyOnRead ?? true, Stream?.ToSpec());
    }
}
