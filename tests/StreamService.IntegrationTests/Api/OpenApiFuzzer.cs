using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace StreamService.IntegrationTests.Api;

/// <summary>
/// Makes requests from the OpenAPI document: some as it describes them, the others with faults in path, query, headers, body
/// or method. The same seed and number make the same request.
/// </summary>
/// <param name="known">What exists, by the name of a parameter or member: so that some requests hit something.</param>
internal sealed class OpenApiFuzzer(JsonObject document, IReadOnlyDictionary<string, string[]> known)
{
    /// <summary>Stands in a body for the odd value, which no serializer would write.</summary>
    private const string Placeholder = "@odd@";

    /// <summary>The server's own bound of a request's first line is 8 KiB.</summary>
    private const int LongestTarget = 7 << 10;

    /// <summary>And that of all headers 32 KiB.</summary>
    private const int LongestHeader = 24 << 10;

    private static readonly string[] OddPaths =
    [
        "", ".", "..", "%2e%2e", "%2E", "..%2F..%2Fetc%2Fpasswd", "%2F", "a%2Fb", "%2F%2F", "%5C", "%00", "a%00b", "%0d%0aX:%20y", "%F0%9F%92%BE", "%E2%80%AE",
        "%ff%fe", "%C0%AF", "%ed%a0%80", "%", "%zz", "%25", "%252F", "%2500", "%20", "+", "*", ";a=b", "a:b", "~", "(1)", "'", "%22", "%3Cscript%3E", "null", "0", "-1",
        "00000000-0000-0000-0000-000000000000", "%7B00000000-0000-0000-0000-000000000000%7D", "vda%00", "vda%20", "VDA", "con", "$(id)", "a,b", "%3F", "%23",
    ];

    /// <summary>None of them is a number, a state or a truth.</summary>
    private static readonly string[] OddQueries =
    [
        "NaN", "Infinity", "-Infinity", "-1", "many", "0x10", "1%3B2", "%5B%5D", "%7B%7D", "99999999999999999999999", "-99999999999999999999999", "%00", "%F0%9F%92%BE", "%ff",
        "%", "%zz", "1%2C2", "true%2Cfalse", "%27%20OR%201=1--", "..%2F..", "%E2%80%AE", "%0d%0a", "a%20b",
    ];

    private static readonly string[] OddValues =
    [
        "null", "true", "false", "\"\"", "\" \"", "0", "-0", "-1", "1", "511", "512", "0.5", "1e3", "1e400", "-1e400", "2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "-9223372036854775809", "1" + new string('0', 400), "NaN", "Infinity", "-Infinity", "0x10", "01", "+1", ".5", "1.", "\"NaN\"", "\"1\"", "\"true\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\u0000\"",
        "\"\\ud83d\\udcbe\"", "\"\t\"", "'full'", "full", "[]", "{}", "[null]", "[[]]", "{\"\":null}", "[1,2,3]", "\"..\"", "\"../../etc/passwd\"", "\"/dev/zero\"", "\"%s%n\"", "\"a\\nb\"", "\"<x/>\"", "\"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><domain>&y;</domain>\"",
        "\"json:{}\"", "undefined", "",
    ];

    private static readonly string[] OddMembers = ["bandwith", "__proto__", "", "$ref", "constructor", "mode ", "\\u0000", "\\ud800", "💾", "a.b", "0"];

    private static readonly string[] OddTypes =
    [
        "text/plain", "application/xml", "application/json; charset=utf-16", "application/json; charset=", "application/json;;", "json", "*/*", "application/*", "application/problem+json",
        "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/jsonp", "", "application/json, text/plain",
    ];

    private static readonly string[] GoodTypes = ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/json; charset=\"UTF-8\"", "application/json; v=1"];

    private static readonly string[] OddMethods = ["OPTIONS", "TRACE", "get", "QUERY", "PROPFIND", "X"];

    private static readonly (string Name, string Value)[] OddHeaders =
    [
        ("Accept", "text/html"), ("Accept", "application/xml"), ("Accept", "text/json"), ("Accept", "application/hal+json"), ("Accept", "application/*"), ("Accept", "*/*;q=0"), ("Accept", ";;;"), ("Accept", ""),
        ("Accept-Encoding", "gzip;q=NaN"), ("Accept-Language", "x-💾"), ("Content-Encoding", "gzip"), ("If-Match", "\"x"), ("If-Modified-Since", "yesterday"), ("Range", "bytes=9-1"),
        ("Origin", "null"), ("Referer", "::"), ("Cookie", "a=b; a=b;;=;"), ("traceparent", "00-0-0-zz"), ("X-HTTP-Method-Override", "DELETE"), ("X-Forwarded-For", "💾"), ("X-Forwarded-Proto", "gopher"),
        ("X-Original-URL", "/hosts"), ("Upgrade", "websocket"), ("Authorization", "Basic ="), ("Authorization", "Bearer " + "💾"), ("Prefer", "wait=-1"), ("Max-Forwards", "-1"),
    ];

    private readonly List<(string Path, string Method, JsonObject Operation)> _operations =
    [
        .. document["paths"]!.AsObject().SelectMany(path => path.Value!.AsObject()
            .Where(member => member.Key is "get" or "put" or "post" or "patch" or "delete")
            // What is at the service's heart comes more often.
            .SelectMany(member => Enumerable.Repeat((path.Key, member.Key.ToUpperInvariant(), member.Value!.AsObject()), path.Key.EndsWith("/stream", StringComparison.Ordinal) ? 4 : 1))),
    ];

    public FuzzRequest Make(int seed, int number)
    {
        var random = new Random(unchecked(seed * 1_000_003 + number));
        var (path, method, operation) = _operations[number % _operations.Count];
        // A third has no fault, and gets past all checks; most others have one, which then is not hidden behind another.
        var faults = random.Next(3) == 0 ? 0 : random.Next(4) == 0 ? 2 : 1;
        var spots = new List<string> { "header" };
        var parameters = (operation["parameters"] as JsonArray ?? []).Select(item => item!.AsObject()).ToList();
        spots.AddRange(parameters.Select(parameter => (string)parameter["in"]!).Where(place => place is not "header").Distinct());
        var schema = operation["requestBody"]?["content"]?["application/json"]?["schema"]?.AsObject();
        if (schema is not null)
            spots.AddRange(["body", "body", "body", "type"]);
        if (random.Next(10) == 0)
            spots.Add("method");
        var odd = Enumerable.Range(0, faults).Select(_ => Pick(spots, random)).ToHashSet();

        var request = new FuzzRequest(odd.Contains("method") ? Pick(OddMethods, random) : method, "", schema) { Chunked = random.Next(8) == 0 };
        var target = Path(path, odd.Contains("path"), random, request);
        request = request with { Target = target + Query(parameters, odd.Contains("query"), random, request) };
        // What reading the query found out stays with the record: it is copied.
        if (odd.Contains("method"))
            request.Reach = FuzzReach.Elsewhere;
        if (request.Target.Length > LongestTarget || HasNul(target))
            request.Reach = FuzzReach.WebServer;
        AddBody(request, odd, random);
        AddHeaders(request, parameters, odd.Contains("header"), random);
        // Whatever was wrong, it was wrong for another method.
        if (odd.Contains("method"))
            request.MustFail = null;
        return request;
    }

    /// <summary>A value that the schema allows.</summary>
    public JsonNode? Valid(JsonObject schema, string name, Random random)
    {
        schema = Resolve(schema);
        if (known.TryGetValue(name, out var values) && random.Next(4) > 0)
            return values.Length == 0 ? null : AsSchemaHasIt(schema, Pick(values, random));
        if (schema["anyOf"] is JsonArray choices)
            return random.Next(4) == 0 ? null : Valid(choices[0]!.AsObject(), name, random);
        if (schema["enum"] is JsonArray names)
            return Pick([.. names], random)!.DeepClone();
        var types = schema["type"] is JsonArray several ? [.. several.Select(type => (string)type!)] : new[] { (string)schema["type"]! };
        if (types.Contains("null") && random.Next(5) == 0)
            return null;
        return types.First(type => type != "null") switch
        {
            "integer" => Integer(schema, random),
            "number" => Math.Clamp(Pick([0.01, 0.5, 1, 20, 300, 30000], random), (double?)schema["minimum"] ?? 0, (double?)schema["maximum"] ?? 1e9),
            "boolean" => random.Next(2) == 0,
            "array" => new JsonArray([.. Enumerable.Range(0, random.Next(4)).Select(_ => Valid(schema["items"]!.AsObject(), "", random))]),
            "object" => Object(schema, random),
            _ => Pick(["a", "local", "sst-1", "x.raw", "22:00", "Europe/Berlin", "/srv/images", "💾", "a b", new string('y', 300)], random),
        };
    }

    /// <summary>The schema that is meant: references followed, <c>allOf</c> of one taken as that one.</summary>
    private JsonObject Resolve(JsonObject schema)
    {
        while (true)
        {
            if ((string?)schema["$ref"] is { } reference)
                schema = document["components"]!["schemas"]![reference.Split('/')[^1]]!.AsObject();
            else if (schema["allOf"] is JsonArray { Count: 1 } all)
                schema = all[0]!.AsObject();
            else
                return schema;
        }
    }

    private JsonObject Object(JsonObject schema, Random random)
    {
        var required = (schema["required"] as JsonArray ?? []).Select(name => (string)name!).ToHashSet();
        var members = new JsonObject();
        foreach (var (name, member) in schema["properties"]!.AsObject())
            if (required.Contains(name) || random.Next(3) == 0)
                members[name] = Valid(member!.AsObject(), name, random);
        return members;
    }

    private static JsonValue AsSchemaHasIt(JsonObject schema, string text) =>
        schema["type"]?.ToJsonString().Contains("integer", StringComparison.Ordinal) == true
            ? JsonValue.Create(long.Parse(text, CultureInfo.InvariantCulture)) : JsonValue.Create(text);

    private static long Integer(JsonObject schema, Random random)
    {
        var least = (double?)schema["minimum"] ?? 0;
        var most = (double?)schema["maximum"] ?? ((string?)schema["format"] == "int32" ? int.MaxValue : long.MaxValue);
        return Pick([1L, 0, 512, 4096, 65536, 1 << 20, 1L << 40, int.MaxValue, long.MaxValue, (long)Math.Max(least, 1)], random) is var value && value >= least && value <= most
            ? value : (long)Math.Max(least, 0);
    }

    private string Path(string template, bool odd, Random random, FuzzRequest request)
    {
        var parts = template.Split('/');
        var places = Enumerable.Range(0, parts.Length).Where(i => parts[i].StartsWith('{')).ToList();
        var spoilt = odd && places.Count > 0 ? Pick(places, random) : -1;
        for (var i = 0; i < parts.Length; i++)
        {
            if (i == spoilt)
                parts[i] = random.Next(12) == 0 ? new string('x', random.Next(2) == 0 ? 2000 : 9000) : Pick(OddPaths, random);
            else if (parts[i].StartsWith('{'))
                parts[i] = Uri.EscapeDataString(Pick(known[parts[i].Trim('{', '}')], random));
        }
        if (spoilt >= 0 && Uri.UnescapeDataString(parts[spoilt]) is "" or "." or "..")
            request.Reach = FuzzReach.Elsewhere;
        if (!odd || random.Next(10) > 0)
            return string.Join('/', parts);
        request.Reach = FuzzReach.Elsewhere;
        return string.Join('/', parts) + "/";
    }

    private string Query(List<JsonObject> parameters, bool odd, Random random, FuzzRequest request)
    {
        var members = new List<string>();
        var mine = parameters.Where(parameter => (string)parameter["in"]! == "query").ToList();
        var spoilt = odd ? Pick(mine, random) : null;
        foreach (var parameter in mine)
        {
            var name = (string)parameter["name"]!;
            var schema = Resolve(parameter["schema"]!.AsObject());
            if (parameter == spoilt)
            {
                var value = random.Next(20) == 0 ? new string('z', random.Next(2) == 0 ? 2000 : 9000) : Pick(OddQueries, random);
                members.Add($"{name}={value}");
                // What is no text may be anything; a text may be odd.
                if (schema["type"] is JsonNode type && type.ToJsonString() is not "\"string\"" and not "\"array\"" || schema["enum"] is not null)
                    request.MustFail = $"'{value}' is not a value of {name}";
                if (random.Next(4) == 0)
                    members.Add($"{name}={Pick(OddQueries, random)}");
                // Nothing, which is the default.
                if (random.Next(12) == 0 && name is not "timeoutSeconds")
                    (members[^1], request.MustFail) = ($"{name}=", null);
            }
            // Patience of their own would be the service's answer time.
            else if (name == "timeoutSeconds")
                members.Add($"{name}={Pick(["0", "0.2", "1"], random)}");
            else if (random.Next(3) == 0)
                members.Add($"{name}={Uri.EscapeDataString(Valid(schema, name, random)?.ToString() ?? "")}");
        }
        if (odd && random.Next(6) == 0)
            members.Add(Pick(["unknown=1", "=", "&&", "a[]=1", "a.b=2", "%00=%00", "%F0%9F%92%BE=1", "=limit", "LIMIT=1"], random));
        return members.Count == 0 ? "" : "?" + string.Join('&', members);
    }

    private void AddBody(FuzzRequest request, HashSet<string> odd, Random random)
    {
        if (request.Schema is not { } schema)
        {
            // A body that no operation asks for is not read.
            if (random.Next(15) == 0)
                (request.Body, request.ContentType) = (Encoding.UTF8.GetBytes("{\"a\":"), "application/json");
            return;
        }
        var value = Valid(schema, "", random);
        request.Body = odd.Contains("body") ? Spoil(value!.AsObject(), random) : Encoding.UTF8.GetBytes(value!.ToJsonString());
        request.ContentType = Pick(GoodTypes, random);
        if (odd.Contains("type"))
        {
            request.ContentType = Pick(OddTypes, random);
            request.MustFail ??= $"'{request.ContentType}' is not JSON in UTF-8";
        }
    }

    private static byte[] Spoil(JsonObject body, Random random)
    {
        // One that may be empty, and is, has no member to take.
        switch (body.Count == 0 ? 13 : random.Next(18))
        {
            case 0:
                return [];
            case 1:
                body.Remove(Pick(body.Select(member => member.Key).ToList(), random));
                return Text(body);
            case 2: // given twice
                var twice = Encoding.UTF8.GetString(Text(body));
                return Encoding.UTF8.GetBytes($"{twice[..^1]},{twice[1..]}");
            case 3:
                return Encoding.UTF8.GetBytes(body.ToJsonString().Insert(1, $"\"{Pick(OddMembers, random)}\":{Pick(OddValues, random)}{(body.Count > 0 ? "," : "")}"));
            case 4: // another case, which is another name
                var (name, value) = Pick(body.ToList(), random);
                body.Remove(name);
                body[name.ToUpperInvariant()] = value?.DeepClone();
                return Text(body);
            case 5:
                return Text(body)[..random.Next(Text(body).Length)];
            case 6:
                var flipped = Text(body);
                flipped[random.Next(flipped.Length)] ^= (byte)(1 << random.Next(8));
                return flipped;
            case 7: // a byte order mark: of UTF-8, which is skipped, or of all in another encoding
                return random.Next(2) == 0 ? [0xef, 0xbb, 0xbf, .. Text(body)] : [0xff, 0xfe, .. Encoding.Unicode.GetBytes(body.ToJsonString())];
            case 8:
                var bytes = Text(body).ToList();
                bytes.InsertRange(random.Next(bytes.Count), Pick([[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], new byte[] { 0xf5, 0x80, 0x80, 0x80 }, [0]], random));
                return [.. bytes];
            case 9:
                return [.. Text(body), .. Encoding.UTF8.GetBytes(Pick([" and more", "{}", ",", "]", "\0", "/* sic */"], random))];
            case 10:
                return Encoding.UTF8.GetBytes(Nested(random, Pick([15, 17, 65, 100_000], random)));
            case 11:
                var noise = new byte[random.Next(1, 200)];
                random.NextBytes(noise);
                return noise;
            case 12:
                var many = new JsonObject(Enumerable.Range(0, random.Next(1, 3000)).Select(i => KeyValuePair.Create($"m{i}", (JsonNode?)i)));
                return Text(many);
            default:
                return WithOddValue(body, random);
        }
    }

    /// <summary>One value, at any depth, replaced by what is none of its kind.</summary>
    private static byte[] WithOddValue(JsonObject body, Random random)
    {
        JsonNode node = body;
        while (true)
        {
            if (node is JsonArray array)
            {
                var at = random.Next(array.Count + 1);
                if (at < array.Count && array[at] is JsonObject or JsonArray && random.Next(3) > 0)
                {
                    node = array[at]!;
                    continue;
                }
                array.Insert(at, Placeholder);
                break;
            }
            var members = (JsonObject)node;
            if (members.Count == 0)
            {
                members["mode"] = Placeholder;
                break;
            }
            var name = Pick(members.Select(member => member.Key).ToList(), random);
            if (members[name] is JsonObject or JsonArray && random.Next(3) > 0)
            {
                node = members[name]!;
                continue;
            }
            members[name] = Placeholder;
            break;
        }
        var odd = random.Next(12) switch
        {
            0 => "\"" + new string('s', Pick([300, 5000, 1 << 20], random)) + "\"",
            1 => Nested(random, Pick([3, 14, 15, 64], random)),
            2 => new string('9', Pick([20, 400, 100_000], random)),
            _ => Pick(OddValues, random),
        };
        return Encoding.UTF8.GetBytes(body.ToJsonString().Replace($"\"{Placeholder}\"", odd, StringComparison.Ordinal));
    }

    private static string Nested(Random random, int depth) => random.Next(2) == 0
        ? new string('[', depth) + new string(']', depth)
        : string.Concat(Enumerable.Repeat("{\"stream\":", depth)) + "1" + new string('}', depth);

    private static void AddHeaders(FuzzRequest request, List<JsonObject> parameters, bool odd, Random random)
    {
        var keyed = parameters.Any(parameter => (string)parameter["name"]! == "Idempotency-Key");
        if (keyed && !odd && random.Next(5) == 0)
            // Few, so that some come again: with the same request, or with another.
            request.Headers.Add(("Idempotency-Key", Encoding.ASCII.GetBytes($"key-{random.Next(20)}")));
        if (!odd)
            return;
        if (keyed && random.Next(4) > 0)
        {
            var (key, fault) = Pick<(byte[] Key, string? Fault)>(
            [
                ([], "is empty"), ("a\tb"u8.ToArray(), "holds a tab"), ("💾"u8.ToArray(), "is not ASCII"), (Encoding.ASCII.GetBytes(new string('k', 256)), "is too long"),
                (Encoding.ASCII.GetBytes(new string('k', 20_000)), "is too long"), (Encoding.ASCII.GetBytes(new string('k', 255)), null), ("'; DROP TABLE x;--"u8.ToArray(), null), ([0xff, 0xfe], "is not text"), ([0x7f], "is not printable"),
            ], random);
            request.Headers.Add(("Idempotency-Key", key));
            if (random.Next(6) == 0)
                request.Headers.Add(("Idempotency-Key", "again"u8.ToArray()));
            else if (fault is not null)
                request.MustFail ??= $"the key {fault}";
        }
        else
        {
            var (name, value) = Pick(OddHeaders, random);
            request.Headers.Add((name, Encoding.UTF8.GetBytes(value)));
            if (random.Next(8) == 0)
                request.Headers.Add(("X-Long", Encoding.ASCII.GetBytes(new string('h', Pick([4000, 40_000], random)))));
        }
        if (request.Headers.Sum(header => header.Value.Length) > LongestHeader || request.Headers.Any(header => !IsText(header.Value)))
            request.Reach = FuzzReach.WebServer;
    }

    /// <summary>The server refuses a NUL in any place where it decodes escapes: the path.</summary>
    private static bool HasNul(string path) => path.Contains("%00", StringComparison.Ordinal);

    private static bool IsText(byte[] bytes)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes).All(character => character != '\0');
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }

    private static byte[] Text(JsonNode node) => Encoding.UTF8.GetBytes(node.ToJsonString());

    private static T Pick<T>(IReadOnlyList<T> from, Random random) => from[random.Next(from.Count)];
}
