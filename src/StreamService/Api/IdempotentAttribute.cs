using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Filters;
using Microsoft.Extensions.Options;
using StreamService.Security;
using StreamService.Storage;

namespace StreamService.Api;

/// <summary>
/// Honours the header <c>Idempotency-Key</c>: the same key and request answer as the first time did; the same key with another
/// request is refused. Only answers of success are kept: what failed may be tried again.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class IdempotentAttribute() : TypeFilterAttribute(typeof(IdempotencyFilter));

/// <inheritdoc cref="IdempotentAttribute"/>
public sealed class IdempotencyFilter(StreamStore store, TimeProvider time, IOptions<JsonOptions> json) : IAsyncResourceFilter
{
    public const string Header = "Idempotency-Key";

    /// <summary>The longest key; the field's usual bound.</summary>
    private const int LongestKey = 255;

    // Two requests with one key at the same moment: the second waits, and is then answered as the first was.
    private static readonly SemaphoreSlim[] Gates = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1, 1))];

    /// <summary>The request's key, apart from the keys of all other callers; null where it has none.</summary>
    /// <exception cref="InvalidRequestException">It is no key.</exception>
    public static string? KeyOf(HttpContext context)
    {
        if (!context.Request.Headers.TryGetValue(Header, out var values))
            return null;
        var key = values.ToString();
        if (key.Length is 0 or > LongestKey || key.Any(character => character is < ' ' or > '~'))
            throw new InvalidRequestException(Header, $"must be 1 to {LongestKey} printable ASCII characters.");
        var caller = Caller.Of(context.User);
        return caller.Name == Caller.Anybody ? key : $"{caller.Name}\n{key}";
    }

    public async Task OnResourceExecutionAsync(ResourceExecutingContext context, ResourceExecutionDelegate next)
    {
        var request = context.HttpContext.Request;
        if (KeyOf(context.HttpContext) is not { } key)
        {
            await next();
            return;
        }

        var cancellationToken = context.HttpContext.RequestAborted;
        var hash = await HashAsync(request, cancellationToken);
        var gate = Gates[(uint)key.GetHashCode() % Gates.Length];
        await gate.WaitAsync(cancellationToken);
        try
        {
            if (await store.FindAnswerAsync(key, cancellationToken) is { } first)
            {
                if (first.RequestHash != hash)
                    throw new IdempotencyConflictException(key);
                Replay(context, first);
                return;
            }
            var executed = await next();
            if (executed.Exception is null && executed.Result is ObjectResult { StatusCode: null or (>= 200 and < 300) } result)
                await store.KeepAnswerAsync(new IdempotencyRecord
                {
                    Key = key,
                    RequestHash = hash,
                    StatusCode = context.HttpContext.Response.StatusCode,
                    Location = context.HttpContext.Response.Headers.Location,
                    Body = JsonSerializer.Serialize(result.Value, json.Value.JsonSerializerOptions),
                    CreatedAt = time.GetUtcNow(),
                }, CancellationToken.None);
        }
        finally
        {
            gate.Release();
        }
    }

    private static void Replay(ResourceExecutingContext context, IdempotencyRecord first)
    {
        if (first.Location is not null)
            context.HttpContext.Response.Headers.Location = first.Location;
        context.Result = new ContentResult { StatusCode = first.StatusCode, Content = first.Body, ContentType = "application/json; charset=utf-8" };
    }

    private static async Task<string> HashAsync(HttpRequest request, CancellationToken cancellationToken)
    {
        request.EnableBuffering();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes($"{request.Method} {request.Path.Value}\n"));
        var buffer = new byte[16 << 10];
        for (int read; (read = await request.Body.ReadAsync(buffer, cancellationToken)) > 0;)
            hash.AppendData(buffer, 0, read);
        request.Body.Position = 0;
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
