using StreamService.Streaming.Budgets;

namespace StreamService.Tests.Streaming.Budgets;

public sealed class BudgetDefinitionTests
{
    private static readonly BudgetWindow Night = new(new(22, 0), new(6, 0), "Europe/Berlin", BytesPerSecond: 0);

    [Theory]
    [InlineData("2026-01-15T20:59:59Z", 100)] // 21:59:59 in Berlin's winter
    [InlineData("2026-01-15T21:00:00Z", 0)]
    [InlineData("2026-01-16T04:59:00Z", 0)]
    [InlineData("2026-01-16T05:00:00Z", 100)]
    [InlineData("2026-07-15T19:59:00Z", 100)] // summer: one hour earlier
    [InlineData("2026-07-15T20:00:00Z", 0)]
    [InlineData("2026-07-16T04:00:00Z", 100)]
    public void A_window_over_midnight_follows_the_zones_own_clock(string moment, long pace) =>
        Assert.Equal(pace, Define(Night).PaceAt(DateTimeOffset.Parse(moment, System.Globalization.CultureInfo.InvariantCulture)));

    [Fact]
    public void Of_several_windows_the_first_counts()
    {
        var noon = new DateTimeOffset(2026, 1, 15, 12, 0, 0, TimeSpan.Zero);
        Assert.Equal(1, Define(new(new(11, 0), new(13, 0), "UTC", 1), new(new(0, 0), new(0, 0), "UTC", 2)).PaceAt(noon));
        Assert.Equal(2, Define(new(new(0, 0), new(0, 0), "UTC", 2), new(new(11, 0), new(13, 0), "UTC", 1)).PaceAt(noon));
    }

    [Theory]
    [InlineData("/var/lib/images/debian.qcow2", "/var/lib/images")]
    [InlineData("/debian.qcow2", "/")]
    [InlineData("nbd://images.example:10809/debian", "images.example")]
    [InlineData("https://images.example/debian.qcow2", "images.example")]
    [InlineData("nbd+unix:///debian?socket=/run/images.sock", "/run/images.sock")]
    [InlineData("nbd+unix:///?socket=%2Frun%2Fimages.sock", "/run/images.sock")]
    [InlineData("unknown", "unknown")]
    public void An_image_belongs_to_its_host_or_folder(string image, string source) => Assert.Equal(source, ImageSource.Of(image));

    [Fact]
    public void A_scope_covers_what_it_names()
    {
        var stream = new StreamScope("local", ["images.example"], ["gold"]);
        Assert.True(new BudgetDefinition("a", BudgetScope.Service, null, 1, []).Covers(stream));
        Assert.True(new BudgetDefinition("a", BudgetScope.Host, "local", 1, []).Covers(stream));
        Assert.False(new BudgetDefinition("a", BudgetScope.Host, "other", 1, []).Covers(stream));
        Assert.True(new BudgetDefinition("a", BudgetScope.Source, "images.example", 1, []).Covers(stream));
        Assert.False(new BudgetDefinition("a", BudgetScope.Source, "gold", 1, []).Covers(stream));
        Assert.True(new BudgetDefinition("a", BudgetScope.Label, "gold", 1, []).Covers(stream));
    }

    private static BudgetDefinition Define(params BudgetWindow[] windows) => new("night", BudgetScope.Service, null, 100, windows);
}
