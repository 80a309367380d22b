namespace StreamService.Storage;

/// <summary>Where in a list of records a page ends: the newest come first.</summary>
public sealed record PagePosition(DateTimeOffset CreatedAt, Guid Id);
