using Microsoft.Extensions.Time.Testing;
using StreamService.Fleet;

namespace StreamService.Tests.Fleet;

public class LookupCacheTests
{
    [Fact]
    public void What_was_found_is_known_for_its_time_and_no_longer()
    {
        var time = new FakeTimeProvider();
        var cache = new LookupCache(time);
        Assert.Null(cache.Find("vm"));
        cache.Remember("vm", "a", TimeSpan.FromSeconds(5));
        time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.Equal("a", cache.Find("vm"));
        time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Null(cache.Find("vm"));
    }

    [Fact]
    public void What_has_moved_is_forgotten_and_found_anew()
    {
        var cache = new LookupCache(new FakeTimeProvider());
        cache.Remember("vm", "a", TimeSpan.FromSeconds(5));
        cache.Forget("vm");
        Assert.Null(cache.Find("vm"));
        cache.Remember("vm", "b", TimeSpan.FromSeconds(5));
        Assert.Equal("b", cache.Find("vm"));
    }
}
