using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace StreamService.Storage.Sqlite.Migrations
{
    /// <inheritdoc />
    public partial class StreamLists : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_Streams_State",
                table: "Streams");

            migrationBuilder.AddColumn<long>(
                name: "BytesPerSecond",
                table: "Streams",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0L);

            migrationBuilder.AddColumn<long>(
                name: "EtaSeconds",
                table: "Streams",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "IX_Streams_DomainName_StreamId",
                table: "Streams",
                columns: new[] { "DomainName", "StreamId" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_Host_StreamId",
                table: "Streams",
                columns: new[] { "Host", "StreamId" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_State_Host",
                table: "Streams",
                columns: new[] { "State", "Host" });

            migrationBuilder.CreateIndex(
                name: "IX_Streams_UpdatedAt_StreamId",
                table: "Streams",
                columns: new[] { "UpdatedAt", "StreamId" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_Streams_DomainName_StreamId",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_Host_StreamId",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_State_Host",
                table: "Streams");

            migrationBuilder.DropIndex(
                name: "IX_Streams_UpdatedAt_StreamId",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "BytesPerSecond",
                table: "Streams");

            migrationBuilder.DropColumn(
                name: "EtaSeconds",
                table: "Streams");

            migrationBuilder.CreateIndex(
                name: "IX_Streams_State",
                table: "Streams",
                column: "State");
        }
    }
}
