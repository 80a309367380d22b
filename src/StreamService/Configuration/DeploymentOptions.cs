namespace StreamService.Configuration;

/// <summary>How domains are deployed.</summary>
public sealed class DeploymentOptions
{
    /// <summary>Folder of the overlays, made where it is missing. Default: where the host's libvirt keeps its images.</summary>
    public string OverlayFolder { get; set; } = "";

    /// <summary>A file with the operator's own libvirt template, for requests without one. Default: the service's own.</summary>
    public string DomainXmlFile { get; set; } = "";

    /// <summary>Folders whose files a caller's template may name: kernels, console logs. Default: none.</summary>
    public List<string> TemplateFolders { get; init; } = [];

    /// <summary><c>kvm</c> or <c>qemu</c>. Default: kvm where the processor and <c>/dev/kvm</c> are there for it.</summary>
    public string DomainType { get; set; } = "";

    /// <summary>Whether profiles of images are learned.</summary>
    public bool Learn { get; set; } = true;

    /// <summary>How long a guest is watched for its image's profile; the stream of its disk does not begin before.</summary>
    public TimeSpan LearnFor { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>So many deployments of an image are watched.</summary>
    public int LearnDeployments { get; set; } = 3;

    /// <summary>Whether disks on distant images begin as copies of an overlay that holds the profile's data, read once for all.</summary>
    public bool Seeds { get; set; } = true;

    internal IEnumerable<string> Faults()
    {
        const string section = "StreamService:Deployment";
        foreach (var (member, path) in new[] { (nameof(OverlayFolder), OverlayFolder), (nameof(DomainXmlFile), DomainXmlFile) })
            if (path.Length > 0 && !Path.IsPathRooted(path))
                yield return $"{section}:{member} '{path}' is not an absolute path.";
        if (DomainXmlFile.Length > 0 && Path.IsPathRooted(DomainXmlFile) && !File.Exists(DomainXmlFile))
            yield return $"{section}:{nameof(DomainXmlFile)} '{DomainXmlFile}' does not exist.";
        for (var i = 0; i < TemplateFolders.Count; i++)
            if (!Path.IsPathRooted(TemplateFolders[i]))
                yield return $"{section}:{nameof(TemplateFolders)}:{i} '{TemplateFolders[i]}' is not an absolute path.";
        if (DomainType is not ("" or "kvm" or "qemu"))
            yield return $"{section}:{nameof(DomainType)} '{DomainType}' is neither kvm nor qemu.";
        if (LearnFor <= TimeSpan.Zero || LearnFor > TimeSpan.FromHours(1))
            yield return $"{section}:{nameof(LearnFor)} is {LearnFor}, not a time between 0 and 1 hour.";
        if (LearnDeployments < 0)
            yield return $"{section}:{nameof(LearnDeployments)} is {LearnDeployments}, not 0 or more.";
    }
}
