using StreamService.IntegrationTests.Harness;

[assembly: AssemblyFixture(typeof(TestHost))]
