using StreamService.Deployment.Images;
using StreamService.Storage;
using StreamService.Streaming.Profiles;

namespace StreamService.Deployment;

/// <summary>Finds the profile that goes with a disk, whoever made the disk.</summary>
public sealed class ImageProfiles(ImageCatalog images, ProfileStore profiles)
{
    /// <inheritdoc cref="FindProfile"/>
    public async Task<ImageProfile?> FindAsync(IEnumerable<string> sources, CancellationToken cancellationToken)
    {
        foreach (var source in sources)
            if (await profiles.FindAsync(images.Canonical(source), cancellationToken) is { } profile)
                return profile;
        return null;
    }
}
