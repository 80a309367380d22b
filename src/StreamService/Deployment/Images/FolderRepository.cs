using StreamService.Configuration;
using StreamService.Qemu.Disks;

namespace StreamService.Deployment.Images;

/// <summary>
/// The files of a folder, not of those below it. A link that stays within the folder, or below it, is as good as what it leads to.
/// </summary>
internal sealed class FolderRepository : ImageRepository
{
    private readonly string _folder;

    /// <summary>The folder without links; as configured while there is none.</summary>
    private volatile string _root;

    public FolderRepository(ImageRepositoryOptions options, string folder, TimeProvider time) : base(options, time)
    {
        _folder = folder;
        _root = folder;
        try
        {
            FindRoot();
        }
        catch (RepositoryUnreachableException)
        {
            // It may be mounted later; until then its list says so.
        }
    }

    public override Task<IReadOnlyList<string>> ListNamesAsync(CancellationToken cancellationToken)
    {
        FindRoot();
        try
        {
            return Task.FromResult<IReadOnlyList<string>>([.. Directory.EnumerateFileSystemEntries(_root).Select(path => Path.GetFileName(path)).Where(IsListed)]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw Unreachable(exception.Message, exception);
        }
    }

    public override string? NameOf(string source)
    {
        var slash = source.LastIndexOf('/');
        return slash >= 0 && IsFolder(source[..slash]) && source[(slash + 1)..] is var name && ImageName.IsValid(name) ? name : null;
    }

    public override string? Canonical(string source)
    {
        if (!IsBelow(source, _root) && !IsBelow(source, _folder))
            return null;
        try
        {
            return FileStatus.RealPath(source) is { } path && IsBelow(path, _root) ? path : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    private protected override Task<Layer> ReadLayerAsync(string name, CancellationToken deadline)
    {
        FindRoot();
        try
        {
            var (path, status) = Resolve(name) ?? throw NotFound(name);
            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var header = new byte[ImageHeader.Length];
            var length = RandomAccess.Read(file, header, 0);
            return Task.FromResult(new Layer(name, path, header[..length], Stamp(path, status), ShowsEveryChange: true));
        }
        catch (FileNotFoundException)
        {
            throw NotFound(name);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw Refused(name, $"cannot be read: {exception.Message}");
        }
    }

    /// <summary>
    /// A path that starts at a folder's name is taken as it is, anything else as beside the image that names it, as QEMU takes it.
    /// Neither may go on through further folders: what ".." leads to depends on the links before it.
    /// </summary>
    private protected override Backing? FindBacking(Layer layer, Facts facts)
    {
        var text = facts.Backing!;
        while (text.StartsWith("./", StringComparison.Ordinal))
            text = text[2..];
        var path = text.StartsWith('/') ? text : $"{Path.GetDirectoryName(layer.Source)!.TrimEnd('/')}/{text}";
        return NameOf(path) is { } name ? new Backing(name, null) : null;
    }

    private protected override bool IsCurrent(Inspection inspection, TimeSpan age)
    {
        if (inspection.Layers.Count == 0 || (inspection.Image is null && age >= Kept))
            return false;
        try
        {
            return inspection.Layers.All(layer => Resolve(layer.Name) is { } found && Stamp(found.Path, found.Status) == layer.Stamp);
        }
        catch (Exception exception) when (exception is IOException or ImageRefusedException)
        {
            return false;
        }
    }

    /// <summary>A file's times of access and of its attributes do not count: hypervisors change owners and labels.</summary>
    private static string Stamp(string path, FileStatus status) => $"{path}\n{status.Size}\n{status.Modified}\n{status.Inode}";

    private (string Path, FileStatus Status)? Resolve(string name)
    {
        if (FileStatus.RealPath(Path.Combine(_root, name)) is not { } path)
            return null;
        if (!IsBelow(path, _root))
            throw Refused(name, "is a link that leads out of the repository");
        if (FileStatus.Find(path) is not { } status)
            return null;
        return status.Kind == FileKind.Regular ? (path, status) : throw Refused(name, "is not a regular file");
    }

    private void FindRoot()
    {
        try
        {
            var root = FileStatus.RealPath(_folder) ?? throw Unreachable($"There is no folder {_folder}.");
            _root = Directory.Exists(root) ? root : throw Unreachable($"{_folder} is not a folder.");
        }
        catch (IOException exception)
        {
            throw Unreachable(exception.Message, exception);
        }
    }

    /// <summary>Regular files, and links: where those lead is told of each.</summary>
    private bool IsListed(string name) => ImageName.IsValid(name) && FileStatus.Find(Path.Combine(_root, name)) switch
    {
        { Kind: FileKind.Regular } => true,
        { Kind: FileKind.Link } => !Directory.Exists(Path.Combine(_root, name)),
        _ => false,
    };

    private bool IsFolder(string path) => path == _root || path == _folder || (path.Length == 0 && _root == "/");

    private static bool IsBelow(string path, string folder) => path.StartsWith(folder == "/" ? folder : folder + "/", StringComparison.Ordinal);
}
