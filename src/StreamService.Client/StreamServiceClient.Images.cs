namespace StreamService.Client;

public sealed partial class StreamServiceClient
{
    /// <summary>The images of all repositories that can be reached; also those that cannot be used, with the reason.</summary>
    /// <param name="repository">Only this one's.</param>
    /// <param name="pageSize">How many are asked for at once, 1 to 1000.</param>
    /// <param name="cancellationToken">Ends the list.</param>
    public IAsyncEnumerable<Image> ListImagesAsync(string? repository = null, int pageSize = DefaultPageSize, CancellationToken cancellationToken = default) =>
        _api.ListAsync<Image>(Address.Of("images").With("repository", repository), pageSize, cancellationToken);

    /// <summary>The repositories, and whether each can be reached.</summary>
    public async Task<IReadOnlyList<Repository>> GetRepositoriesAsync(CancellationToken cancellationToken = default) =>
        (await _api.GetAsync<RepositoryPage>(Address.Of("images").With("limit", "1"), cancellationToken)).Repositories;

    /// <summary>One image, with the disks that use it.</summary>
    /// <param name="repository">The configured name of its repository.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Image> GetImageAsync(string repository, string name, CancellationToken cancellationToken = default) =>
        _api.GetAsync<Image>(Address.Of("images", repository, name), cancellationToken);

    /// <summary>What guests of the image read first.</summary>
    /// <param name="repository">The configured name of its repository.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<ImageProfile> GetProfileAsync(string repository, string name, CancellationToken cancellationToken = default) =>
        _api.GetAsync<ImageProfile>(Address.Of("images", repository, name, "profile"), cancellationToken);

    /// <summary>Sets the image's profile; what was learned before is forgotten.</summary>
    /// <param name="repository">The configured name of its repository.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="profile">What guests read first.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<ImageProfile> PutProfileAsync(string repository, string name, ProfileDefinition profile, CancellationToken cancellationToken = default) =>
        _api.SendAsync<ImageProfile>(HttpMethod.Put, Address.Of("images", repository, name, "profile"), profile, cancellationToken);

    /// <summary>Forgets the image's profile.</summary>
    /// <param name="repository">The configured name of its repository.</param>
    /// <param name="name">Its name there.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task DeleteProfileAsync(string repository, string name, CancellationToken cancellationToken = default) =>
        _api.SendAsync(HttpMethod.Delete, Address.Of("images", repository, name, "profile"), cancellationToken);

    /// <summary>What a page of images tells besides.</summary>
    private sealed record RepositoryPage : ApiRecord
    {
        public IReadOnlyList<Repository> Repositories { get; init; } = [];
    }
}
