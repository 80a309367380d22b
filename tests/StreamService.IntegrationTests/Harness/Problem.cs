using System.Net.Http.Json;
using System.Text.Json;

namespace StreamService.IntegrationTests.Harness;

/// <summary>What every answer of failure must be: a problem document (RFC 9457) with a code.</summary>
internal static class Problem
{
    /// <summary>Expects the problem document of that code; returns it.</summary>
    public static async Task<JsonElement> AssertAsync(HttpResponseMessage answer, int status, string code)
    {
        var body = await answer.Content.ReadAsStringAsync();
        Assert.True((int)answer.StatusCode == status, $"Answered {(int)answer.StatusCode}, not {status}: {body}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        var problem = JsonDocument.Parse(body).RootElement;
        Assert.Equal(code, problem.GetProperty("code").GetString());
        var type = problem.GetProperty("type").GetString()!;
        Assert.True(Uri.IsWellFormedUriString(type, UriKind.Absolute) && type.EndsWith(":" + code, StringComparison.Ordinal), type);
        Assert.Equal(status, problem.GetProperty("status").GetInt32());
        Assert.NotEmpty(problem.GetProperty("title").GetString()!);
        Assert.NotEmpty(problem.GetProperty("detail").GetString()!);
        return problem;
    }

    /// <summary>Expects <c>invalid-request</c> with at least these members at fault; an empty name is the request as a whole.</summary>
    public static async Task<JsonElement> AssertInvalidAsync(HttpResponseMessage answer, params string[] members)
    {
        var problem = await AssertAsync(answer, 400, "invalid-request");
        var errors = problem.GetProperty("errors");
        Assert.Equal(members.Order(), errors.EnumerateObject().Select(error => error.Name).Order());
        Assert.All(errors.EnumerateObject(), error => Assert.All(error.Value.EnumerateArray(), fault => Assert.NotEmpty(fault.GetString()!)));
        return problem;
    }

    /// <summary>Posts text as it is, which no serializer would write.</summary>
    public static Task<HttpResponseMessage> PostTextAsync(HttpClient http, string url, string body, string contentType = "application/json")
    {
        var content = new StringContent(body);
        // Also what is no media type.
        content.Headers.Remove("Content-Type");
        content.Headers.TryAddWithoutValidation("Content-Type", contentType);
        return http.PostAsync(new Uri(url, UriKind.Relative), content);
    }

    /// <summary>Posts JSON with an Idempotency-Key.</summary>
    public static async Task<HttpResponseMessage> PostWithKeyAsync(HttpClient http, string url, string key, object body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = JsonContent.Create(body) };
        request.Headers.TryAddWithoutValidation("Idempotency-Key", key);
        return await http.SendAsync(request);
    }
}
