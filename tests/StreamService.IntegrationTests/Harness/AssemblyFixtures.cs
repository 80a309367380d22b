using StreamService.IntegrationTests.Harness;

[assembly: AssemblyFixture(typeof(TestHost))]
[assembly: AssemblyFixture(typeof(SharedService))]
[assembly: AssemblyFixture(typeof(SharedPostgres))]
