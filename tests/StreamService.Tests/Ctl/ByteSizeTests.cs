using StreamService.Ctl;

namespace StreamService.Tests.Ctl;

/// <summary>Sizes as people write them.</summary>
public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("65536", 65536)]
    [InlineData("512B", 512)]
    [InlineData("64k", 64 << 10)]
    [InlineData("50MiB", 50 << 20)]
    [InlineData("50 MiB", 50 << 20)]
    [InlineData("50mib", 50 << 20)]
    [InlineData("50M", 50 << 20)]
    [InlineData("50MB", 50_000_000)]
    [InlineData("1.5GiB", 3L << 29)]
    [InlineData("0.5KiB", 512)]
    [InlineData("7EiB", 7L << 60)]
    public void A_size_is_read_in_the_unit_that_it_names(string text, long bytes) => Assert.Equal(bytes, ByteSize.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("MiB")]
    [InlineData("-1")]
    [InlineData("1,5GiB")]
    [InlineData("1e3")]
    [InlineData("5 parsecs")]
    [InlineData("5MiBs")]
    [InlineData("0.3B")]
    [InlineData("0.0001KiB")]
    [InlineData("8EiB")]
    [InlineData("99999999999999999999999999999999")]
    [InlineData("5MiB/s")]
    public void What_is_no_whole_number_of_bytes_is_refused_in_words(string text) =>
        Assert.Contains($"'{text}'", Assert.Throws<FormatException>(() => ByteSize.Parse(text)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("unlimited", 0)]
    [InlineData("Unlimited", 0)]
    [InlineData("0", 0)]
    [InlineData("50MiB/s", 50 << 20)]
    [InlineData("50MB", 50_000_000)]
    public void A_rate_is_a_size_in_each_second(string text, long bytesPerSecond) => Assert.Equal(bytesPerSecond, ByteSize.ParseRate(text));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(1023, "1.0 KiB")]
    [InlineData(65536, "64 KiB")]
    [InlineData(1_560_281, "1.49 MiB")]
    [InlineData(50 << 20, "50 MiB")]
    [InlineData((1 << 20) - 1, "1.0 MiB")]
    [InlineData(12_900_000, "12.3 MiB")]
    [InlineData(long.MaxValue, "8.0 EiB")]
    public void A_size_is_shown_to_three_digits(long bytes, string text) => Assert.Equal(text, ByteSize.Format(bytes));

    [Fact]
    public void What_is_shown_can_be_read_again()
    {
        for (var bytes = 1L; bytes > 0 && bytes < 1L << 60; bytes *= 2)
            Assert.Equal(bytes, ByteSize.Parse(ByteSize.Format(bytes)));
    }
}
