using System.Globalization;
using StreamService.Hypervisors;

namespace StreamService.Streaming;

/// <summary>The overlay's file system has no room for all that is still to come in. Nothing was populated.</summary>
public sealed class InsufficientSpaceException(LayerSpace space, long remaining, long missing) : Exception(string.Create(CultureInfo.InvariantCulture,
    $"No space for the whole disk in {space.Folder}: {remaining} bytes are still to come in, {space.FreeBytes} are free, {missing} are missing."));
