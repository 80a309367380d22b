using StreamService.IntegrationTests.Harness;
using StreamService.IntegrationTests.Migrations;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestCollectionOrderer(typeof(LongestFirst))]

namespace StreamService.IntegrationTests.Harness;

/// <summary>The tests that share the two hosts run one after the other, longer than all else: they begin first, and the others beside them.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(IReadOnlyCollection<TTestCollection> testCollections)
        where TTestCollection : ITestCollection =>
        [.. testCollections.OrderByDescending(collection => collection.TestCollectionDisplayName == MigratingHosts.Name)];
}
