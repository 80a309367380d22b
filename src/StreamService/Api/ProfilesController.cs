using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.Mvc;
using StreamService.Deployment.Images;
using StreamService.Security;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>What guests of an image read first, and what is therefore streamed first.</summary>
[ApiController]
[Route("images/{repository}/{name}/profile")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status400BadRequest, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status404NotFound, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status409Conflict, "application/problem+json")]
[ProducesResponseType<ProblemDetails>(StatusCodes.Status503ServiceUnavailable, "application/problem+json")]
public sealed class ProfilesController(ImageCatalog images, ProfileStore profiles, TimeProvider time) : ControllerBase
{
    /// <summary>The image's profile.</summary>
    /// <param name="repository">The repository's configured name.</param>
    /// <param name="name">The image's name in it.</param>
    /// <param name="cancellationToken"></param>
    [HttpGet]
    [ProducesResponseType<ProfileView>(StatusCodes.Status200OK, "application/json")]
    public async Task<ProfileView> GetAsync(string repository, string name, CancellationToken cancellationToken)
    {
        var image = await images.FindAsync(repository, name, cancellationToken);
        var profile = await profiles.FindAsync(image.Source, cancellationToken) ?? throw NotFound(image);
        return ProfileView.From(profile, image);
    }

    /// <summary>Sets the image's profile; what was learned before is forgotten.</summary>
    /// <param name="repository">The repository's configured name.</param>
    /// <param name="name">The image's name in it.</param>
    /// <param name="request">What guests read first.</param>
    /// <param name="cancellationToken"></param>
    [HttpPut]
    [Authorize(Scopes.Admin)]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status413PayloadTooLarge, "application/problem+json")]
    [ProducesResponseType<ProblemDetails>(StatusCodes.Status415UnsupportedMediaType, "application/problem+json")]
    [ProducesResponseType<ProfileView>(StatusCodes.Status200OK, "application/json")]
    public async Task<ProfileView> PutAsync(string repository, string name, [FromBody] ProfileRequest request, CancellationToken cancellationToken)
    {
        var image = await images.FindAsync(repository, name, cancellationToken);
        var profile = request.ToProfile(image, time.GetUtcNow());
        await profiles.PutAsync(profile, cancellationToken);
        return ProfileView.From(profile, image);
    }

    /// <summary>Forgets the image's profile; it is learned anew.</summary>
    /// <param name="repository">The repository's configured name.</param>
    /// <param name="name">The image's name in it.</param>
    /// <param name="cancellationToken"></param>
    [HttpDelete]
    [Authorize(Scopes.Admin)]
    [ProducesResponseType(StatusCodes.Status204NoContent)]
    public async Task<IActionResult> DeleteAsync(string repository, string name, CancellationToken cancellationToken)
    {
        var image = await images.FindAsync(repository, name, cancellationToken);
        if (!await profiles.RemoveAsync(image.Source, cancellationToken))
            throw NotFound(image);
        return NoContent();
    }

    private static ProfileNotFoundException NotFound(ImageInfo image) => new($"{image.Repository}/{image.Name}");
}

/// <summary>Nothing is known yet of what guests of the image read first.</summary>
public sealed class ProfileNotFoundException(string image) : Exception($"Image '{image}' has no profile yet.");
